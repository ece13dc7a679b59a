"""Continual learning from distilled sets."""
