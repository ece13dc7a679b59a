"""The Python API; use it as ``import rcig_cli as rcig`` (``docs/python.md``)."""
