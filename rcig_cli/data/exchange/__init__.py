"""Distilled sets from elsewhere, and for elsewhere: a module a format, and what they have in common."""
