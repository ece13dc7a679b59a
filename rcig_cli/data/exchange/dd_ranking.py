"""Distilled sets in the three files that DD-Ranking is given (ddranking 0.2.0).

::

    images.pt    float32 [n, c, H, W], dc-normalized as DD-Ranking normalizes the real images without use_zca
    labels.pt    float32 [n, C], targets of mean squared error: its criterion mse_gt
    lr.pt        a learning rate for its SGD

DD-Ranking also trains with class numbers, which it assigns to the images in their order: so there must be the
same number of images for each class, in its order of the classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rcig_cli.data.exchange.class_order import order_of_dd_ranking
from rcig_cli.data.exchange.dc_statistics import dc_statistics
from rcig_cli.data.exchange.records import DatasetInfo, ExportedSet, Format, SetFile
from rcig_cli.data.exchange.torch_file import import_torch, read_two_files, save
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.errors import ConfigError

_DATASETS = ("cifar10", "cifar100", "tiny_imagenet", "imagenette", "imagewoof")
_IMAGES, _LABELS, _RATE = "images.pt", "labels.pt", "lr.pt"
_LEARNING_RATE = 0.01  # with which its ConvNet-3 fits the soft labels of ten images in some sixty steps


def recognize(path: Path, _: bytes) -> bool:
    """Whether a path is a folder with ``images.pt``."""
    return (path / _IMAGES).is_file()


def read_set(path: Path, _: DatasetInfo) -> SetFile:
    """Read images and labels; see `Format.read`.  The files don't say what the values of the images are."""
    return read_two_files(path, path / _IMAGES)


def write_set(folder: Path, exported: ExportedSet) -> None:
    """Write a distilled set into an empty folder."""
    torch = import_torch("--format dd-ranking")
    if exported.dataset not in _DATASETS:
        raise ConfigError(
            f"DD-Ranking has no data set {exported.dataset}: --format dd-ranking exports sets of "
            f"{', '.join(_DATASETS)}."
        )
    mean, std = dc_statistics(exported.dataset, exported.images.shape[3])
    if len(exported.class_names) < KNOWN[exported.dataset].classes:
        raise ConfigError(
            f"DD-Ranking needs all classes of {exported.dataset}, but {exported.run} has "
            f"{len(exported.class_names)} of them: choose another --format."
        )
    counts = np.bincount(exported.classes, minlength=len(exported.class_names))
    if counts.min() != counts.max():
        raise ConfigError(
            f"DD-Ranking needs the same number of images for each class, but {exported.run} has "
            f"{counts.min()} to {counts.max()}: choose another --format."
        )
    names = order_of_dd_ranking(exported.dataset, exported.class_names)
    if sorted(names) != sorted(exported.class_names):
        raise ConfigError(
            f"The classes of {exported.dataset} in this store don't have the published names, so their order "
            "for DD-Ranking isn't known: choose another --format."
        )
    position = np.array([names.index(name) for name in exported.class_names])
    rows = np.argsort(position[exported.classes], kind="stable")
    images = (exported.whitening.invert(exported.images[rows]) / 255 - mean) / std
    labels = exported.labels[rows][:, np.argsort(position)]
    tensors = {
        _IMAGES: torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)),
        _LABELS: torch.from_numpy(np.ascontiguousarray(labels)),
        _RATE: torch.tensor(_LEARNING_RATE),
    }
    for name, tensor in tensors.items():
        save(tensor, folder / name)


FORMAT = Format(
    "dd-ranking", recognize, read_set, write_set, suffix="-dd-ranking", is_folder=True, keeps_stored=False
)
