"""Readers of downloaded data sets, as the official archives unpack: one module for each format.

``recognize.py`` decides which of them a folder has.
"""
