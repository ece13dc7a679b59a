"""Slow and obviously right: each from its definition, with nested derivatives and dense solves."""
