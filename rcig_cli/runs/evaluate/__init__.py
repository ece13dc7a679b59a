"""Evaluate a distilled set."""
