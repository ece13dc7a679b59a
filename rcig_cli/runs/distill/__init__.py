"""Distil a data set."""
