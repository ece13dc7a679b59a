"""The artifact store: where prepared data sets and runs are kept, and how they survive a crash.

Importing this package costs nothing.  `rcig_cli.store.arrays` imports Zarr, and `rcig_cli.store.records`
imports pydantic: commands import those late.  The format on disk is described in ``docs/store-format.md``.
"""
