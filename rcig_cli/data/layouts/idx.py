"""MNIST's own format: IDX files, plain or gzipped, which Fashion-MNIST and others use too.

``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
``t10k-labels-idx1-ubyte``, in the folder itself or in ``raw`` inside it; also with a dot before ``idx``, and
each also with ``.gz``.  If both exist, the plain file is used.

A file is big-endian: two zero bytes, 8 for unsigned bytes, the number of axes, the length of each axis in 4
bytes, and then the bytes themselves.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
import numpy.typing as npt

from rcig_cli.data.files import opened, present, read_exactly
from rcig_cli.data.sources.array_files import ArrayFiles, ArrayFileSource
from rcig_cli.data.sources.class_names import check_every_class, published_names
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import ConfigError, Corrupt, NotFound

_PARTS: dict[Split, str] = {"train": "train", "test": "t10k"}
_SPELLINGS = ("{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte")
_FOLDERS = (".", "raw")

_LARGEST_SIDE = 8192
_MOST_LABELS = 2**26


@dataclass(frozen=True)
class _IdxFile:
    """An IDX file of which the header has been read.

    Parameters
    ----------
    folder, name
        The file is ``folder / name``.
    shape
        The lengths of its axes.
    """

    folder: Path
    name: str
    shape: tuple[int, ...]

    def blocks(self, rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the array in pieces of ``rows``, uint8 ``[b, ...]``."""
        path, row_bytes = self.folder / self.name, math.prod(self.shape[1:])
        with _stream(self.folder, self.name) as stream:
            read_exactly(stream, _header_bytes(len(self.shape)), path)
            for start in range(0, self.shape[0], rows):
                count = min(rows, self.shape[0] - start)
                data = read_exactly(stream, count * row_bytes, path)
                yield np.frombuffer(data, np.uint8).reshape(count, *self.shape[1:])
            if stream.read(1):
                raise Corrupt(f"{path} is larger than its header says: download it again.")

    def images(self, rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the array as grey images, uint8 ``[b, H, W, 1]``."""
        return (block[..., None] for block in self.blocks(rows))


def holds(folder: Path) -> bool:
    """Whether a folder has the training images of such a data set."""
    return _find(folder, "train", "images", 3) is not None


def open_layout(name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open such a folder; see `recognize.Layout.open`."""
    images = {split: _open(folder, _PARTS[split], "images", 3) for split in SPLITS}
    labels = {split: _labels(folder, split, images[split]) for split in SPLITS}
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise ConfigError(f"{folder} has training and test images of different sizes: download it again.")
    classes = 1 + max(int(values.max()) for values in labels.values())
    if classes < 2:
        raise ConfigError(f"{name} has a single class: at least two are needed.")
    check_every_class(folder, labels["train"], classes)
    _, height, width = images["train"].shape
    records = {split: ArrayFiles(images[split].images, labels[split], (height, width, 1)) for split in SPLITS}
    return ArrayFileSource(name, published_names(name, classes), records, resolution)


def _labels(folder: Path, split: Split, images: _IdxFile) -> npt.NDArray[np.int32]:
    file = _open(folder, _PARTS[split], "labels", 1)
    if file.shape[0] != images.shape[0]:
        raise Corrupt(
            f"{images.folder / images.name} declares {images.shape[0]} images and {file.name} "
            f"{file.shape[0]} labels: download them again."
        )
    (values,) = file.blocks(file.shape[0])
    return values.astype(np.int32)


def _find(folder: Path, part: str, content: str, axes: int) -> tuple[Path, str] | None:
    names = [form.format(part, content, axes) + end for end in ("", ".gz") for form in _SPELLINGS]
    places = ((folder / inner, name) for inner in _FOLDERS for name in names)
    return next((place for place in places if present(*place)), None)


def _open(folder: Path, part: str, content: str, axes: int) -> _IdxFile:
    found = _find(folder, part, content, axes)
    if found is None:
        raise NotFound(
            f"{folder} has no {_SPELLINGS[0].format(part, content, axes)}: download that file too."
        )
    where, name = found
    path = where / name
    with _stream(where, name) as stream:
        header = read_exactly(stream, _header_bytes(axes), path)
    zero, kind, count, *shape = struct.unpack(f">HBB{axes}I", header)
    if (zero, kind, count) != (0, 8, axes):
        raise Corrupt(f"{path} is not an IDX file of bytes with {axes} axes: download it again.")
    declared = math.prod(shape)
    if not declared:
        raise Corrupt(f"{path} is empty: download it again.")
    if max(shape[1:], default=1) > _LARGEST_SIDE or (axes == 1 and declared > _MOST_LABELS):
        raise Corrupt(
            f"{path} declares {' x '.join(map(str, shape))} bytes, which is impossible: download it again."
        )
    return _IdxFile(where, name, tuple(shape))


def _header_bytes(axes: int) -> int:
    return 4 + 4 * axes


@contextmanager
def _stream(folder: Path, name: str) -> Iterator[IO[bytes]]:
    with opened(folder, name) as file:
        if not name.endswith(".gz"):
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(IO[bytes], unpacked)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise Corrupt(f"{folder / name} is damaged or cut short: download it again.") from error
