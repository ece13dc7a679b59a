"""Reading a prepared data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError
from rcig_cli.runs.engine.environment import free_memory
from rcig_cli.store.arrays import StoredRows, read_array, read_arrays
from rcig_cli.store.records import DatasetManifest, RunManifest
from rcig_cli.store.store import Store

ARRAYS = "arrays.zarr"
WHITENING = "whitening/"  # before the names of `Whitening.arrays`

Images = npt.NDArray[np.float32] | StoredRows

_LARGEST_SHARE = 0.5  # of the memory that is free, for the images of a split


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared data set: its manifest and its arrays.

    Attributes
    ----------
    manifest
        How it was prepared.
    path
        Its folder.
    """

    manifest: DatasetManifest
    path: Path

    @property
    def name(self) -> str:
        """Its name in the store."""
        return self.manifest.name

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of images in ``"train"`` and in ``"test"``."""
        return self.manifest.sizes

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.manifest.shape

    @property
    def whitened(self) -> bool:
        """Whether the images are whitened."""
        return self.manifest.whitened

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.manifest.class_names)

    def split(self, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Read images ``[N, H, W, c]`` and labels ``[N]`` of ``"train"`` or ``"test"``."""
        return self.stored(name)[:], self.labels(name)

    def images(self, name: str) -> Images:
        """Return the images ``[N, H, W, c]`` of ``"train"`` or ``"test"``.

        They are in memory if they take no more than half of what is free now; otherwise they stay on the
        disk, and rows are read when they are indexed.
        """
        stored = self.stored(name)
        return stored[:] if stored.nbytes <= _LARGEST_SHARE * free_memory() else stored

    def stored(self, name: str) -> StoredRows:
        """Return the images of ``"train"`` or ``"test"`` on the disk; rows are read when they are indexed."""
        return StoredRows(self.path / ARRAYS, f"{name}/images")

    def labels(self, name: str) -> npt.NDArray[np.int32]:
        """Read the labels ``[N]`` of ``"train"`` or ``"test"`` alone."""
        return read_array(self.path / ARRAYS, f"{name}/labels")

    def whitening(self) -> Whitening:
        """Read the map between pixels and network inputs."""
        return read_whitening(self.path / ARRAYS)


def read_whitening(group: Path) -> Whitening:
    """Read the whitening from the arrays of a data set.

    Raises
    ------
    Corrupt
        If they are damaged.
    """
    arrays = read_arrays(group, WHITENING)
    return Whitening.from_arrays({name.removeprefix(WHITENING): array for name, array in arrays.items()})


def open_prepared(store: Store, name: str) -> Prepared:
    """Open a prepared data set by its name.

    Raises
    ------
    NotFound
        If there is none of that name.
    """
    return Prepared(store.dataset(name), store.dataset_path(name))


def parent_of(store: Store, run: RunManifest) -> Prepared:
    """Open the data set a run was distilled from.

    Raises
    ------
    ConfigError
        If the data set has been prepared again since, and its arrays have changed.
    """
    prepared = open_prepared(store, run.dataset)
    if prepared.manifest.digest != run.parents["dataset"]["digest"]:
        raise ConfigError(
            f"{run.dataset} is not what {run.name} was distilled from: it was prepared again with other "
            f"settings, or on another machine. {run.name} can't be evaluated or resumed. Distil again, or "
            f"prepare {run.dataset} as before. A set from another machine: export it there, import it."
        )
    return prepared
