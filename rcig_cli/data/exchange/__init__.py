"""Import and export of distilled sets.

To add a format, write one file like ``npz.py``: a function that recognizes the format, one that reads it, one
that writes it (unless it is only imported), and a `Format` that names them.  Then add that `Format` to
``FORMATS`` in ``formats.py``, which ``rcig import`` and ``rcig export`` use.
"""
