"""Readers of the files that data sets come in: one module for each format.

To add a format, write one file with two functions: one that recognizes a path, and one that opens it.  The
second returns an `ArraySource` (images stored one after another; ``npz.py`` and ``idx.py`` are examples) or a
`FileSource` (image files; ``image_lists.py``), which check names and labels, choose the size, and report what
they assumed.  Then add a row to ``FORMATS`` in ``registry.py``, and a small copy to test it with in
``tests/data/downloads.py``.
"""
