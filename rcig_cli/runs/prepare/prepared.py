"""Reading a prepared data set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError
from rcig_cli.presets.classes import chosen_classes, class_list
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
    """A prepared data set, or some of its classes: its manifest and its arrays.

    Attributes
    ----------
    manifest
        How the data set was prepared, with all its classes.
    path
        Its folder.
    only
        Which of its classes these are, as a configuration has them; None for all.  They are numbered from 0
        in this order, and images of other classes are left out.
    """

    manifest: DatasetManifest
    path: Path
    only: str | None = None

    def of_classes(self, classes: str | None) -> Self:
        """Return the data set with some of its classes alone, whichever this one has; with all for None.

        Raises
        ------
        ConfigError
            If a class is unknown or given twice, or if there are fewer than two.
        """
        names = self.manifest.class_names
        return replace(self, only=class_list(chosen_classes(classes, names), names))

    @property
    def name(self) -> str:
        """Its name in the store."""
        return self.manifest.name

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """The number of images in ``"train"`` and in ``"test"``."""
        if self.only is None:
            return self.manifest.sizes
        return {split: len(self.labels(split)) for split in self.manifest.sizes}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.manifest.shape

    @property
    def whitened(self) -> bool:
        """Whether the images are whitened."""
        return self.manifest.whitened

    @property
    def chosen(self) -> tuple[int, ...]:
        """The numbers that its classes have among all those of the data set."""
        return chosen_classes(self.only, self.manifest.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name for each class, in the order of the labels."""
        return tuple(self.manifest.class_names[number] for number in self.chosen)

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.chosen)

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
        rows = None if self.only is None else np.flatnonzero(self._renumbered(name) >= 0)
        return StoredRows(self.path / ARRAYS, f"{name}/images", rows)

    def labels(self, name: str) -> npt.NDArray[np.int32]:
        """Read the labels ``[N]`` of ``"train"`` or ``"test"`` alone."""
        labels = self._renumbered(name)
        return labels[labels >= 0]

    def _renumbered(self, name: str) -> npt.NDArray[np.int32]:
        """Read the labels of all images of the data set; -1 for those of other classes."""
        numbers = np.full(len(self.manifest.class_names), -1, np.int32)
        numbers[list(self.chosen)] = np.arange(self.classes)
        return numbers[read_array(self.path / ARRAYS, f"{name}/labels")]

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
    """Open the data set a run was distilled from, with the classes that were distilled.

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
    return prepared.of_classes(run.config.get("classes"))
