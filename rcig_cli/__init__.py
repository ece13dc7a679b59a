"""Distil an image data set into a handful of synthetic images, and judge the result fairly."""

__version__ = "0.1.0"
