"""Data sets and distilled sets: reading, whitening, import and export."""
