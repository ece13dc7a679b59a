"""The artifact store: where prepared data sets and runs live, and how they survive a crash.

Importing this package costs nothing; :mod:`rcig_cli.store.arrays` needs Zarr and
:mod:`rcig_cli.store.checkpoints` needs JAX and Orbax, so import those two late.
The format on disk is described in ``docs/store-format.md``.
"""
