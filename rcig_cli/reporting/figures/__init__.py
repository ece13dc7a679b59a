"""Figures of a distilled set: arrays in, a picture out; no files are read or written."""
