"""Reading a prepared data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError
from rcig_cli.networks.architectures import build_network
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.preset import resolve
from rcig_cli.runs.engine.environment import free_memory
from rcig_cli.runs.prepare.prepare import ARRAYS
from rcig_cli.store.arrays import array_names, read_array
from rcig_cli.store.layout import Store
from rcig_cli.store.manifest import DatasetManifest, RunManifest
from rcig_cli.store.rows import StoredRows

Images = npt.NDArray[np.float32] | StoredRows

_LARGEST_SHARE = 0.5  # of the memory that is free, for the images of a split


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared data set.

    Attributes
    ----------
    manifest
        What it is.
    path
        Its folder.
    """

    manifest: DatasetManifest
    path: Path

    @property
    def classes(self) -> int:
        """Number of classes, C."""
        return len(self.manifest.class_names)

    def split(self, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Read images ``[N, H, W, c]`` and labels ``[N]`` of ``"train"`` or ``"test"``."""
        return self.stored(name)[:], self.labels(name)

    def images(self, name: str) -> Images:
        """Give the images ``[N, H, W, c]`` of ``"train"`` or ``"test"``: in memory if they fit there.

        They fit if they take no more than half of the memory that is free now; else they stay on the disk,
        and those that are asked for are read.
        """
        stored = self.stored(name)
        return stored[:] if stored.nbytes <= _LARGEST_SHARE * free_memory() else stored

    def stored(self, name: str) -> StoredRows:
        """Give the images of ``"train"`` or ``"test"`` as they lie on the disk, for a few of them."""
        return StoredRows(self.path / ARRAYS, f"{name}/images")

    def labels(self, name: str) -> npt.NDArray[np.int32]:
        """Read the labels ``[N]`` of ``"train"`` or ``"test"`` alone."""
        return read_array(self.path / ARRAYS, f"{name}/labels")

    def whitening(self) -> Whitening:
        """Read the map between pixels and network inputs."""
        arrays = {
            name: read_array(self.path / ARRAYS, f"whitening/{name}") for name in _whitening_arrays(self.path)
        }
        return Whitening.from_arrays(arrays)


def _whitening_arrays(path: Path) -> list[str]:
    return [name.split("/", 1)[1] for name in array_names(path / ARRAYS) if name.startswith("whitening/")]


def open_prepared(store: Store, name: str) -> Prepared:
    """Open a prepared data set by its name.

    Raises
    ------
    NotFound
        If there is none of that name.
    """
    return Prepared(store.dataset(name), store.dataset_path(name))


class Named(Protocol):
    """What names a network: a configuration, or a protocol of evaluation."""

    @property
    def architecture(self) -> str:
        """Its architecture."""

    @property
    def normalization(self) -> str:
        """Its norm."""

    @property
    def width(self) -> int | None:
        """Channels of its first layer; None for the architecture's own."""

    @property
    def depth(self) -> int | None:
        """Blocks of a ConvNet; None for the architecture's own."""


def network_for(named: Named, shape: tuple[int, int, int], classes: int, activation: str) -> Network:
    """Build a network for images of a shape ``(H, W, c)`` and so many classes.

    Raises
    ------
    ConfigError
        If the images are too small for it.
    """
    return build_network(
        named.architecture,
        image_shape=shape,
        classes=classes,
        width=named.width,
        depth=named.depth,
        activation=activation,
        normalization=named.normalization,
    )


def distilling_network(prepared: Prepared, config: DistillConfig) -> Network:
    """Build the network that a configuration distils a data set with."""
    return network_for(config, prepared.manifest.shape, prepared.classes, config.activation)


def resolved(prepared: Prepared, settings: Mapping[str, Any]) -> DistillConfig:
    """Resolve every setting of a distillation of a data set; a batch is at most all its training images.

    Raises
    ------
    ConfigError
        If a setting is unknown or can't have its value.
    """
    manifest = prepared.manifest
    config = resolve(manifest.name, manifest.shape, prepared.classes, settings)
    return config.override({"batch": min(config.batch, manifest.sizes["train"])})


def parent_of(store: Store, run: RunManifest) -> Prepared:
    """Open the data set a run was distilled from.

    Raises
    ------
    ConfigError
        If the data set was prepared anew since, and its arrays are others.
    """
    prepared = open_prepared(store, run.dataset)
    if prepared.manifest.digest != run.parents["dataset"]["digest"]:
        raise ConfigError(
            f"{run.dataset} was prepared again, otherwise, after {run.name} was made from it: {run.name} "
            f"can't be judged or continued with it. Distil again, or prepare {run.dataset} as it was."
        )
    return prepared
