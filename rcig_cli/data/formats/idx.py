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

from rcig_cli.data.files import has_files, open_file, read_exactly
from rcig_cli.data.sources.array_source import ArraySource, ArraySplit, Blocks
from rcig_cli.data.sources.class_names import class_numbers, published_names
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import Corrupt, NotFound

_PARTS: dict[Split, str] = {"train": "train", "test": "t10k"}
_SPELLINGS = ("{}-{}-idx{}-ubyte", "{}-{}.idx{}-ubyte")

_LARGEST_SIDE = 8192
_MOST_LABELS = 2**26


@dataclass(frozen=True)
class _IdxFile:
    """An IDX file of which the header has been read; ``shape`` has the lengths of its axes."""

    path: Path
    shape: tuple[int, ...]

    def blocks(self, rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield the array in pieces of ``rows``, uint8 ``[b, ...]``."""
        with _stream(self.path) as stream:
            stream.read(_header_bytes(len(self.shape)))
            for start in range(0, self.shape[0], rows):
                shape = (min(rows, self.shape[0] - start), *self.shape[1:])
                data = read_exactly(stream, math.prod(shape), self.path)
                yield np.frombuffer(data, np.uint8).reshape(shape)
            if stream.read(1):
                raise Corrupt(f"{self.path} is larger than its header says: download it again.")


def holds(folder: Path) -> bool:
    """Whether a folder has the training images of such a data set."""
    return _find(folder, "train-images", 3) is not None


def open_idx(name: str, folder: Path, options: ReadOptions) -> ImageSource:
    """Open such a folder; see `registry.DatasetFormat.open`."""
    splits = {split: _split(folder, _PARTS[split]) for split in SPLITS}
    classes = 1 + max(int(some.labels.max()) for some in splits.values())
    return ArraySource(name, folder, published_names(name, classes), splits, options.resolution)


def _split(folder: Path, part: str) -> ArraySplit:
    images, labels = _open(folder, f"{part}-images", 3), _open(folder, f"{part}-labels", 1)
    count, height, width = images.shape
    if labels.shape[0] != count:
        raise Corrupt(
            f"{images.path} declares {count} images and {labels.path.name} {labels.shape[0]} labels: "
            "download them again."
        )
    (numbers,) = labels.blocks(count)

    def blocks(rows: int) -> Blocks:
        return (block[..., None] for block in images.blocks(rows))

    return ArraySplit(blocks, class_numbers(labels.path, numbers), (height, width, 1))


def _find(folder: Path, part: str, axes: int) -> Path | None:
    names = [form.format(*part.split("-"), axes) + end for end in ("", ".gz") for form in _SPELLINGS]
    places = ((inner, name) for inner in (folder, folder / "raw") for name in names)
    return next((inner / name for inner, name in places if has_files(inner, name)), None)


def _open(folder: Path, part: str, axes: int) -> _IdxFile:
    path = _find(folder, part, axes)
    if path is None:
        raise NotFound(f"{folder} has no {part}-idx{axes}-ubyte: download that file too.")
    with _stream(path) as stream:
        header = read_exactly(stream, _header_bytes(axes), path)
    zero, kind, count, *shape = struct.unpack(f">HBB{axes}I", header)
    if (zero, kind, count) != (0, 8, axes):
        raise Corrupt(f"{path} is not an IDX file of bytes with {axes} axes: download it again.")
    declared = math.prod(shape)
    if not declared or max(shape[1:], default=1) > _LARGEST_SIDE or (axes == 1 and declared > _MOST_LABELS):
        raise Corrupt(
            f"{path} declares {' x '.join(map(str, shape))} bytes, which is impossible: download it again."
        )
    return _IdxFile(path, tuple(shape))


def _header_bytes(axes: int) -> int:
    return 4 + 4 * axes


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    with open_file(path, inside=path.parent) as file:
        if path.suffix != ".gz":
            yield file
            return
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast(IO[bytes], unpacked)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise Corrupt(f"{path} is damaged or cut short: download it again.") from error
