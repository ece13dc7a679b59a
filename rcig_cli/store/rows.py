"""Rows of an array that stays on the disk, read as they are asked for."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from rcig_cli.store.arrays import check_shards, missing, read_array, reading
from rcig_cli.store.grids import declared


class StoredRows:
    """An array on the disk, indexed along its first axis as if it were in memory.

    Parameters
    ----------
    path
        The group's folder.
    name
        The array, such as ``train/images``.

    Raises
    ------
    Corrupt
        If the array is missing or its metadata are damaged.
    """

    def __init__(self, path: Path, name: str) -> None:
        found = declared(path, name)
        if found is None or not found.shape:
            raise missing(path, name)
        self._path, self._name, self._declared = path, name, found
        self.shape, self.dtype = found.shape, np.dtype(found.dtype)
        with reading(path, name):
            self._array: Any = zarr.open_array(path / name, mode="r", zarr_format=3)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array, were it in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: slice | NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Read rows.

        Parameters
        ----------
        chosen
            A slice without a step, or indices from 0 of any shape, which comes before that of a row.

        Raises
        ------
        Corrupt
            If what they are in is missing or damaged.
        IndexError
            If there is no such row.
        RcigError
            If they can't be read.
        """
        if isinstance(chosen, slice):
            start, stop, _ = chosen.indices(len(self))
            return read_array(self._path, self._name, start, stop)
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(self)):
            raise IndexError(f"{self._name} has {len(self)} rows")
        rows, places = np.unique(chosen, return_inverse=True)
        for first in np.unique(rows // self._declared.shard[0]) * self._declared.shard[0]:
            check_shards(self._path, self._name, self._declared, range(int(first), int(first) + 1))
        with reading(self._path, self._name):
            found: NDArray[Any] = np.asarray(self._array.oindex[rows], dtype=self.dtype)
        picked: NDArray[Any] = found[places.reshape(chosen.shape)]
        return picked
