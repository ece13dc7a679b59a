"""Decoding and resizing images."""
