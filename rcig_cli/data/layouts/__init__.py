"""Layouts of downloaded data sets, as their makers' archives unpack: one module each.

``recognise.py`` says in which order they are looked for.
"""
