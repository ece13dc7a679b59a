"""Pictures of a distilled set, drawn with Pillow: arrays in, an image out, no files."""
