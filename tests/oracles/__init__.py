"""Slow, and written from the definitions with nested derivatives and dense solves."""
