"""Verify, remove and clean up."""
