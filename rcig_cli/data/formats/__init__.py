"""Readers of the files that data sets come in: one module for each format.

To add a format, write one file with two functions: one that recognizes a path, and one that opens it.  For
images that are stored one after another, the second gives them and their labels to
`rcig_cli.data.arrays.opening.open_arrays` (``stl10.py`` is an example), which finds out their layout, scale
and classes; for image files it returns a `FileSource` (``image_lists.py``).  Both check names and labels,
choose the size, and report what they assumed.  Then add a row to ``FORMATS`` in ``registry.py``, and a small
copy to test it with in ``tests/data/downloads.py``.
"""
