"""CIFAR-10 and CIFAR-100, in the "binary version" and the "python version" of their downloads.

In the binary version, a record consists of the labels, one byte each, and the image.  CIFAR-100 has a coarse
and a fine label, of which the fine one is used.  In the python version, each file is a pickled dictionary
with an array and a list of labels.  In both, an image is 3072 bytes: the red, the green and the blue plane.
Only one file at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.files import has_files, open_file, read_lines
from rcig_cli.data.images.pixels import from_planes
from rcig_cli.data.pickles import read_pickle
from rcig_cli.data.sources.array_source import ArraySource, ArraySplit, Blocks, blocks_of
from rcig_cli.data.sources.class_names import class_numbers, published_names
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import Corrupt

_SIDE = 32
_IMAGE_BYTES = 3 * _SIDE * _SIDE

LARGEST_FILE = 2**28
"""Bytes; CIFAR-100's training file has 155 million.  Reading a pickle takes three times as much memory."""

_Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]  # images as planes, [n, 3072], and labels [n]


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets: the names of its files and of the entries in its pickles.

    Attributes
    ----------
    dataset, classes
        Its name, and how many classes it has.
    files
        By split, without the ``.bin`` of the binary version.
    label_bytes
        Labels in a binary record, of which the last is used.
    binary_names
        The file with the class names in the binary version.
    labels_key
        The entry with the labels in the python version.
    python_names
        The file with the class names in the python version, and the entry in it.
    python_marks
        The files that tell the python version from other folders.
    """

    dataset: str
    classes: int
    files: dict[Split, tuple[str, ...]]
    label_bytes: int
    binary_names: str
    labels_key: str
    python_names: tuple[str, str]
    python_marks: tuple[str, ...]


CIFAR10 = Cifar(
    dataset="cifar10",
    classes=10,
    files={"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)},
    label_bytes=1,
    binary_names="batches.meta.txt",
    labels_key="labels",
    python_names=("batches.meta", "label_names"),
    python_marks=("data_batch_1",),
)
CIFAR100 = Cifar(
    dataset="cifar100",
    classes=100,
    files={"train": ("train",), "test": ("test",)},
    label_bytes=2,
    binary_names="fine_label_names.txt",
    labels_key="fine_labels",
    python_names=("meta", "fine_label_names"),
    python_marks=("train", "test", "meta"),
)


def holds_binary(cifar: Cifar, folder: Path) -> bool:
    """Whether a folder has the first training file of the binary version."""
    return has_files(folder, f"{cifar.files['train'][0]}.bin")


def open_binary(cifar: Cifar, name: str, folder: Path, options: ReadOptions) -> ImageSource:
    """Open a folder of the binary version; see `registry.DatasetFormat.open`."""
    class_names = published_names(cifar.dataset, cifar.classes)
    if has_files(folder, cifar.binary_names):
        class_names = tuple(read_lines(folder, cifar.binary_names))
    splits = _splits(cifar, partial(_binary_batch, cifar, folder))
    return ArraySource(name, folder, class_names, splits, options.resolution)


def _binary_batch(cifar: Cifar, folder: Path, name: str) -> _Batch:
    path = folder / f"{name}.bin"
    with open_file(path, most=LARGEST_FILE, inside=folder) as file:
        content = np.frombuffer(file.read(), np.uint8)
    width = cifar.label_bytes + _IMAGE_BYTES
    if len(content) % width:
        raise Corrupt(f"{path} ends in the middle of an image: download it again.")
    rows = content.reshape(-1, width)
    return rows[:, cifar.label_bytes :], rows[:, cifar.label_bytes - 1].astype(np.int32)


def holds_python(cifar: Cifar, folder: Path) -> bool:
    """Whether a folder has the files of the python version, and not class folders of the same names."""
    return has_files(folder, *cifar.python_marks) and not (folder / cifar.python_marks[0]).is_dir()


def open_python(cifar: Cifar, name: str, folder: Path, options: ReadOptions) -> ImageSource:
    """Open a folder of the python version; see `registry.DatasetFormat.open`."""
    class_names = published_names(cifar.dataset, cifar.classes)
    file, key = cifar.python_names
    if has_files(folder, file):
        found = read_pickle(folder, file, LARGEST_FILE).get(key)
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise Corrupt(f"{folder / file} has no list {key!r} of strings: download it again.")
        class_names = tuple(found)
    splits = _splits(cifar, partial(_python_batch, cifar, folder))
    return ArraySource(name, folder, class_names, splits, options.resolution)


def _python_batch(cifar: Cifar, folder: Path, name: str) -> _Batch:
    path, found = folder / name, read_pickle(folder, name, LARGEST_FILE)
    array, labels = found.get("data"), found.get(cifar.labels_key)
    if (
        not isinstance(array, np.ndarray)
        or not isinstance(labels, list)
        or not all(type(label) is int for label in labels)
        or array.shape != (len(labels), _IMAGE_BYTES)
    ):
        raise Corrupt(
            f"{path} has no array 'data' of {_IMAGE_BYTES} bytes an image with as many numbers in a list "
            f"{cifar.labels_key!r}: download it again."
        )
    return array, class_numbers(path, np.array(labels))


def _splits(cifar: Cifar, read_batch: Callable[[str], _Batch]) -> dict[Split, ArraySplit]:
    """Describe both splits, given a function that reads a file by its name."""

    def describe(files: tuple[str, ...]) -> ArraySplit:
        def blocks(rows: int) -> Blocks:
            for file in files:
                for planes in blocks_of(read_batch(file)[0], rows):
                    yield from_planes(planes, _SIDE)

        labels = np.concatenate([read_batch(file)[1] for file in files])
        return ArraySplit(blocks, labels, (_SIDE, _SIDE, 3))

    return {split: describe(cifar.files[split]) for split in SPLITS}
