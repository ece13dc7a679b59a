"""MNIST's own format: IDX files, plain or gzipped, which many other data sets use too.

``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
``t10k-labels-idx1-ubyte``, in the folder itself or in ``raw`` inside it; also with a dot before ``idx``,
``test`` for ``t10k``, or the data set's name at the beginning, as in
``emnist-letters-train-images-idx3-ubyte``; and each also with ``.gz``.  If both exist, the plain file is
used.  If a folder has several data sets, the user passes the training images of one.

A file is big-endian: two zero bytes, a code for the type of the values, the number of axes, the length of
each axis in 4 bytes, and then the values.  EMNIST stores its images transposed, and the names of its classes
in ``emnist-letters-mapping.txt``.  QMNIST's labels have eight columns, of which the first is the class.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.layout import TRANSPOSED, transposed
from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.arrays.stored import ArrayFile, stream_blocks
from rcig_cli.data.files import has_files, open_file, read_exactly, read_lines
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Note, Split
from rcig_cli.errors import ConfigError, Corrupt, NotFound

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)-(?P<content>images|labels)[-.]idx\d-(ubyte|byte|short|int|float|double)"
    r"(?P<packed>\.gz)?",
    re.IGNORECASE,
)
_PARTS: dict[str, Split] = {"train": "train", "t10k": "test", "test": "test"}
_USUAL = {("train", "images"): "train-images-idx3-ubyte", ("train", "labels"): "train-labels-idx1-ubyte"}
_USUAL |= {("test", "images"): "t10k-images-idx3-ubyte", ("test", "labels"): "t10k-labels-idx1-ubyte"}
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

_MOST_LABELS = 2**26  # bytes

_Files = dict[tuple[str, str], Path]  # by split and content


def holds(path: Path) -> bool:
    """Whether a folder has the training images of such a data set, or a path is one of its files."""
    if path.is_dir():
        return any(("train", "images") in files for files in _find(path).values())
    return bool(_NAME.fullmatch(path.name)) and path.is_file()


def open_idx(name: str, path: Path, options: ReadOptions) -> ImageSource:
    """Open such a folder, or the data set that a file belongs to; see `registry.DatasetFormat.open`."""
    folder = path if path.is_dir() else path.parent
    found = {prefix: files for prefix, files in _find(folder).items() if ("train", "images") in files}
    named = None if path.is_dir() else _NAME.fullmatch(path.name)
    if named:
        found = {prefix: files for prefix, files in found.items() if prefix == named["prefix"]}
    if len(found) > 1:
        raise ConfigError(
            f"{path} holds several data sets, {', '.join(sorted(found))}: pass the training images of one, "
            f"such as --from {min(files['train', 'images'] for files in found.values())}."
        )
    if not found:
        raise NotFound(f"{folder} has no training images that belong to {path.name}: download them too.")
    ((prefix, files),) = found.items()
    pairs = {split: _pair(folder, prefix, files, split) for split in SPLITS}
    layout = None
    notes: tuple[Note, ...] = ()
    if prefix.lower().startswith("emnist") and all(len(pair.images.shape) == 3 for pair in pairs.values()):
        layout, notes = transposed, (TRANSPOSED,)
    return open_arrays(
        name, path, pairs, options, class_names=_class_names(folder, prefix), layout=layout, notes=notes
    )


def _pair(folder: Path, prefix: str, files: _Files, split: Split) -> Pair:
    images, labels = (_open(folder, prefix, files, split, content) for content in ("images", "labels"))
    count = images.shape[0]
    if labels.shape[0] != count:
        raise Corrupt(
            f"{images} declares {count} images and {files[split, 'labels'].name} {labels.shape[0]} labels: "
            "download them again."
        )
    (values,) = labels.blocks(count)
    if prefix.lower().startswith("qmnist") and values.ndim == 2:
        values = values[:, 0]
    return Pair(images, values, labels)


def _class_names(folder: Path, prefix: str) -> list[str] | None:
    """Read EMNIST's names of classes: each line is a label and the codes of the characters of its class."""
    file = f"{prefix}mapping.txt"
    if not prefix or not has_files(folder, file):
        return None
    try:
        rows = sorted([int(word) for word in line.split()] for line in read_lines(folder, file))
        return ["/".join(map(chr, codes)) for _, *codes in rows]
    except (ValueError, OverflowError) as error:
        raise Corrupt(f"{folder / file} has no labels and codes of characters: download it again.") from error


def _find(folder: Path) -> dict[str, _Files]:
    """Return the IDX files in a folder and in ``raw`` inside it, by the data set's name."""
    found: dict[str, _Files] = {}
    places = [place for place in (folder, folder / "raw") if place.is_dir()]
    matches = [(_NAME.fullmatch(entry.name), entry) for place in places for entry in sorted(place.iterdir())]
    for packed in (False, True):
        for match, entry in matches:
            if match and bool(match["packed"]) == packed and not entry.is_dir():
                key = _PARTS[match["part"].lower()], match["content"].lower()
                found.setdefault(match["prefix"], {}).setdefault(key, entry)
    return found


def _open(folder: Path, prefix: str, files: _Files, split: Split, content: str) -> ArrayFile:
    path = files.get((split, content))
    if path is None:
        raise NotFound(f"{folder} has no {prefix}{_USUAL[split, content]}: download that file too.")
    with _stream(path) as stream:
        zero, kind, axes = struct.unpack(">HBB", read_exactly(stream, 4, path))
        if zero or kind not in _TYPES or not 1 <= axes <= 4:
            raise Corrupt(f"{path} is not an IDX file of images or labels: download it again.")
        shape = struct.unpack(f">{axes}I", read_exactly(stream, 4 * axes, path))
    dtype = np.dtype(_TYPES[kind])
    declared = math.prod(shape) * dtype.itemsize
    if not declared or (content == "labels" and declared > _MOST_LABELS):
        raise Corrupt(
            f"{path} declares {' x '.join(map(str, shape))} values, which is impossible: download it again."
        )

    def blocks(rows: int) -> Iterator[npt.NDArray[Any]]:
        with _stream(path) as stream:
            stream.read(4 + 4 * axes)
            yield from stream_blocks(stream, path, shape, dtype, rows)
            if stream.read(1):
                raise Corrupt(f"{path} is larger than its header says: download it again.")

    return ArrayFile(str(path), shape, dtype, blocks)


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
