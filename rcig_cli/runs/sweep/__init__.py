"""Distil and evaluate over a range of settings."""
