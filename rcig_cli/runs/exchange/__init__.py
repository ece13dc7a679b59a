"""Import and export distilled sets."""
