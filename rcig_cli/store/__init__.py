"""The artifact store, in which prepared data sets and runs are kept and survive a crash.

`rcig_cli.store.arrays` imports Zarr, and `rcig_cli.store.records` imports pydantic, so commands import them
late.  ``docs/store-format.md`` describes the format on disk.
"""
