"""Prepare a data set."""
