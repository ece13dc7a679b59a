"""CIFAR-10 and CIFAR-100, in the "binary version" and the "python version" of their downloads.

In the binary version, each record is the labels, a byte each, and then the image.  CIFAR-100 has a coarse and
a fine label, of which the fine one is used.  In the python version, each file is a pickled dictionary of an
array and a list of labels.  In both, an image is 3072 bytes: the red, the green and the blue plane.  One file
at a time is in memory.

A pickle may call any function by name.  These are read with an unpickler that maps the names that NumPy's
arrays need to stand-ins in this module, and refuses every other name.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.files import opened, present, read_lines
from rcig_cli.data.sources.array_files import ArrayFiles, ArrayFileSource
from rcig_cli.data.sources.class_names import check_every_class, check_labels, check_names, published_names
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_SIDE = 32
_IMAGE_BYTES = 3 * _SIDE * _SIDE

LARGEST_FILE = 2**28
"""Bytes; CIFAR-100's training file has 155 million.  Reading a pickle takes three times as much memory."""


@dataclass(frozen=True)
class Cifar:
    """One of the two data sets: the names of its files and of the entries in its pickles.

    Parameters
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


_Batch = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]  # images as planes, [n, 3072], and labels [n]


def _open(
    read_batch: Callable[[str], _Batch],
    class_names: tuple[str, ...],
    files: dict[Split, tuple[str, ...]],
    name: str,
    folder: Path,
    resolution: int | None,
) -> ImageSource:
    def records(split: Split) -> ArrayFiles:
        def blocks(rows: int) -> Iterator[npt.NDArray[np.uint8]]:
            for file in files[split]:
                planes, _ = read_batch(file)
                for start in range(0, len(planes), rows):
                    some = planes[start : start + rows].reshape(-1, 3, _SIDE, _SIDE)
                    yield np.ascontiguousarray(some.transpose(0, 2, 3, 1))

        labels = [read_batch(file)[1] for file in files[split]]
        return ArrayFiles(blocks, np.concatenate(labels), (_SIDE, _SIDE, 3))

    every = {split: records(split) for split in SPLITS}
    check_every_class(folder, every["train"].labels, len(class_names))
    return ArrayFileSource(name, class_names, every, resolution)


# Binary version


def holds_binary(cifar: Cifar, folder: Path) -> bool:
    """Whether a folder has the first training file."""
    return present(folder, f"{cifar.files['train'][0]}.bin")


def open_binary(cifar: Cifar, name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open a folder of the binary version; see `recognize.Layout.open`."""
    class_names = published_names(cifar.dataset, cifar.classes)
    if present(folder, cifar.binary_names):
        lines = read_lines(folder, cifar.binary_names)
        class_names = check_names(folder / cifar.binary_names, lines, cifar.classes)
    read = partial(_binary_batch, cifar, folder)
    return _open(read, class_names, cifar.files, name, folder, resolution)


def _binary_batch(cifar: Cifar, folder: Path, name: str) -> _Batch:
    path = folder / f"{name}.bin"
    with opened(folder, path.name, LARGEST_FILE) as file:
        content = np.frombuffer(file.read(), np.uint8)
    width = cifar.label_bytes + _IMAGE_BYTES
    if len(content) % width:
        raise Corrupt(f"{path} ends in the middle of an image: download it again.")
    rows = content.reshape(-1, width)
    return rows[:, cifar.label_bytes :], check_labels(path, rows[:, cifar.label_bytes - 1], cifar.classes)


# Python version


def holds_python(cifar: Cifar, folder: Path) -> bool:
    """Whether a folder has the files of the python version, and not class folders of the same names."""
    return present(folder, *cifar.python_marks) and not (folder / cifar.python_marks[0]).is_dir()


def open_python(cifar: Cifar, name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open a folder of the python version; see `recognize.Layout.open`."""
    class_names = published_names(cifar.dataset, cifar.classes)
    file, key = cifar.python_names
    if present(folder, file):
        names = read_pickle(folder, file).get(key)
        if not isinstance(names, list) or not all(isinstance(text, str) for text in names):
            raise Corrupt(f"{folder / file} has no list {key!r} of strings: download it again.")
        class_names = check_names(folder / file, names, cifar.classes)
    read = partial(_python_batch, cifar, folder)
    return _open(read, class_names, cifar.files, name, folder, resolution)


def _python_batch(cifar: Cifar, folder: Path, name: str) -> _Batch:
    path, found = folder / name, read_pickle(folder, name)
    array, labels = found.get("data"), found.get(cifar.labels_key)
    if not isinstance(array, np.ndarray) or array.shape[1:] != (_IMAGE_BYTES,):
        raise Corrupt(f"{path} has no array 'data' of {_IMAGE_BYTES} bytes an image: download it again.")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise Corrupt(f"{path} has no list {cifar.labels_key!r} of numbers: download it again.")
    if len(labels) != len(array):
        raise Corrupt(f"{path} has {len(labels)} labels for {len(array)} images: download it again.")
    return array, check_labels(path, np.array(labels, dtype=np.int64), cifar.classes)


def read_pickle(folder: Path, name: str) -> dict[str, Any]:
    """Read a pickled dictionary of numbers, strings, lists of those, and NumPy arrays of bytes.

    Nothing that the file names is imported or called.  Byte strings that Python 2 wrote become str, as
    keys and in lists.

    Parameters
    ----------
    folder, name
        The file is ``folder / name``.

    Raises
    ------
    ConfigError
        If it names anything but NumPy's arrays, or is larger than `LARGEST_FILE`.
    Corrupt
        If it is damaged or cut short.
    NotFound, RcigError
        As `rcig_cli.data.files.opened`.
    """
    path = folder / name
    with opened(folder, name, LARGEST_FILE) as file:
        content = file.read()
    try:
        return {_text(key): _value(item) for key, item in _Unpickler(content, path).load().items()}
    except RcigError:
        raise
    except Exception as error:  # on a damaged pickle the unpickler raises errors of almost any kind
        raise Corrupt(f"{path} is damaged, cut short or not a CIFAR pickle: download it again.") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        found = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise ConfigError(
                f"{self._path} is a pickle that names {f'{module}.{name}'[:80]!r}, which is never loaded: "
                "use the binary version of the download."
            )
        return found


class _Dtype:
    """Stands in for ``numpy.dtype``: bytes only."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in ("u1", b"u1"):
            raise ValueError("not an array of bytes")

    def __setstate__(self, state: Any) -> None:
        pass  # byte order, fields and the like, which bytes don't have


class _Array:
    """Stands in for ``numpy.ndarray``, and its constructor for ``numpy.core.multiarray._reconstruct``."""

    pixels: npt.NDArray[np.uint8] | None = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise ValueError("an array without a type")
        self.pixels = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    found = _Array()
    found.__setstate__((1, shape, dtype, order == "F", data))
    return found


def _encode(text: str, _: str) -> bytes:
    return text.encode("latin1")


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,  # how protocol 5 pickles arrays
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,  # how Python 3 pickles bytes at protocol 2
}


def _text(value: Any) -> str:
    found = value.decode() if isinstance(value, bytes) else value
    if not isinstance(found, str):
        raise ValueError("not a string")
    return found


def _value(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.pixels
    if isinstance(value, list):
        return [item.decode() if isinstance(item, bytes) else item for item in value]
    return value
