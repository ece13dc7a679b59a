"""Image data in one ``.npz`` file: ``x_train, y_train, x_test, y_test`` and optionally ``class_names``.

Images are ``[n, H, W]`` or ``[n, H, W, 1]`` (grey), ``[n, H, W, 3]`` (RGB) or ``[n, H, W, 4]`` (RGBA,
composited over white).  Pixels are uint8; or uint16, divided by 257 and rounded; or floats, on a scale from
0 to 1 if none in the file is above 1, and otherwise from 0 to 255.  Labels are whole numbers, ``[n]`` or
``[n, 1]``.  There are as many classes as ``class_names`` has entries, or else one more than the largest
label; the names of known data sets are filled in.

An ``.npz`` file is a zip archive of ``.npy`` files.  NumPy would read a whole array at once; here arrays are
read a few rows at a time.  The size that a header declares is first compared with the size in the archive's
directory.  Pickled objects are refused without being read.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from rcig_cli.data.files import open_archive, read_exactly
from rcig_cli.data.images.pixels import over_white, to_eight_bit
from rcig_cli.data.sources.array_files import ArrayFiles, ArrayFileSource
from rcig_cli.data.sources.class_names import (
    MOST_CLASSES,
    check_class_numbers,
    check_every_class,
    misnamed,
    published_names,
)
from rcig_cli.data.sources.source import SPLITS, ImageSource, Split
from rcig_cli.errors import ConfigError, Corrupt

_LARGEST_SMALL_ARRAY = 64 * 2**20  # bytes of labels or class names
_LARGEST_HEADER = 2**16
_LARGEST_SIDE = 8192
_LARGEST_IMAGE = 2**27  # bytes
_REQUIRED = ("x_train", "y_train", "x_test", "y_test")


# Arrays in an archive


@dataclass(frozen=True)
class Member:
    """One array of an ``.npz`` file, not yet read.

    Parameters
    ----------
    path
        The ``.npz`` file.
    entry
        Its entry in the archive's directory; its checksum reveals a file that was replaced since.
    shape, dtype
        From its header; the size in the directory agrees.
    start
        Length of the header in bytes.
    """

    path: Path
    entry: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int

    @property
    def key(self) -> str:
        """Name of the array."""
        return self.entry.filename.removesuffix(".npy")

    @property
    def nbytes(self) -> int:
        """Size of the array in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array, read-only, in pieces of ``rows`` along its first axis; the last may have fewer.

        Raises
        ------
        Corrupt
            If the data are damaged or have changed.
        """
        with open_archive(self.path) as archive, archive.open(self.entry) as stream:
            stream.read(self.start)
            for start in range(0, self.shape[0], rows):
                shape = (min(rows, self.shape[0] - start), *self.shape[1:])
                yield self._next(stream, shape)

    def read(self, most: int = _LARGEST_SMALL_ARRAY) -> npt.NDArray[Any]:
        """Read the whole array, read-only.

        Parameters
        ----------
        most
            The largest size in bytes; the default suits labels and class names.

        Raises
        ------
        ConfigError
            If it is larger.
        Corrupt
            If the data are damaged or have changed.
        """
        if self.nbytes > most:
            raise ConfigError(f"{self.path}: {self.key} is too large: the limit is {most} bytes.")
        with open_archive(self.path) as archive, archive.open(self.entry) as stream:
            stream.read(self.start)
            return self._next(stream, self.shape)

    def _next(self, stream: IO[bytes], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        data = read_exactly(stream, math.prod(shape) * self.dtype.itemsize, self.path)
        return np.frombuffer(data, self.dtype).reshape(shape)


def members(path: Path) -> dict[str, Member]:
    """Read the headers of all arrays of an ``.npz`` file.

    Raises
    ------
    NotFound, Corrupt, ConfigError, RcigError
        If the file is missing, is damaged, holds pickled objects, or can't be read.
    """
    with open_archive(path) as archive:
        files = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        return {info.filename[:-4]: _member(archive, info, path) for info in files}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Member:
    where = f"{path}: {info.filename[:80]!r}"
    with archive.open(info) as stream:
        head = io.BytesIO(stream.read(_LARGEST_HEADER))
    try:
        shape, fortran, dtype = _parse_header(head)
    except Exception as error:  # NumPy raises errors of almost any kind on damaged headers
        raise Corrupt(f"{where} has a damaged header: make or copy the file again.") from error
    if dtype.hasobject:
        raise ConfigError(f"{where} holds pickled Python objects, which are never read: save plain numbers.")
    if dtype.kind == "V" or not dtype.itemsize:
        raise ConfigError(f"{where} is not an array of numbers or strings: save plain numbers.")
    if fortran and len(shape) > 1:
        raise ConfigError(f"{where} is in Fortran order: save numpy.ascontiguousarray of it.")
    member = Member(path, info, shape, dtype, head.tell())
    if min(shape, default=0) < 0 or member.start + member.nbytes != info.file_size:
        raise Corrupt(f"{where} isn't as large as its header says: make or copy the file again.")
    return member


def _parse_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    with warnings.catch_warnings(action="ignore"):  # NumPy warns about headers written by Python 2
        version = npy.read_magic(stream)
        if version == (1, 0):
            return npy.read_array_header_1_0(stream)
        if version == (2, 0):
            return npy.read_array_header_2_0(stream)
    raise ValueError(f"unknown version {version}")


# Image data


def open_npz(name: str, path: Path, resolution: int | None = None) -> ImageSource:
    """Open an ``.npz`` file; parameters and errors as in `opening.open_source`.

    Labels are read into memory, images are not.
    """
    arrays = members(path)
    missing = [key for key in _REQUIRED if key not in arrays]
    if missing:
        raise ConfigError(
            f"{path} has no {', '.join(missing)}: save the arrays {', '.join(_REQUIRED)} with numpy.savez."
        )
    images: dict[Split, Member] = {split: arrays[f"x_{split}"] for split in SPLITS}
    _check_images(images)
    labels = {split: _read_labels(arrays[f"y_{split}"], images[split]) for split in SPLITS}
    class_names = _class_names(name, path, arrays.get("class_names"), labels)
    scale = _scale(images)
    records = {split: _records(images[split], labels[split], scale) for split in SPLITS}
    return ArrayFileSource(name, class_names, records, resolution)


def _records(images: Member, labels: npt.NDArray[np.int32], scale: float) -> ArrayFiles:
    def convert(block: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        pixels = to_eight_bit(block, scale)
        pixels = pixels[..., None] if pixels.ndim == 3 else pixels
        return over_white(pixels) if pixels.shape[3] == 4 else pixels

    # `map` releases a block before the next one is read; a loop variable would keep it.
    def blocks(rows: int) -> Iterator[npt.NDArray[np.uint8]]:
        return map(convert, images.blocks(rows))

    channels = 1 if _depth(images) == 1 else 3
    return ArrayFiles(blocks, labels, (images.shape[1], images.shape[2], channels), _row_bytes(images))


def _check_images(images: dict[Split, Member]) -> None:
    for member in images.values():
        where, shape = f"{member.path}: {member.key}", member.shape
        if len(shape) not in (3, 4) or _depth(member) not in (1, 3, 4):
            raise ConfigError(f"{where} has the shape {shape}: images are [n, H, W] or [n, H, W, 1, 3 or 4].")
        if not shape[0]:
            raise ConfigError(f"{where} holds no images: both splits need some.")
        if not all(1 <= side <= _LARGEST_SIDE for side in shape[1:3]):
            raise ConfigError(
                f"{where} has images of {shape[1]} x {shape[2]} pixels: a side must be 1 to {_LARGEST_SIDE}."
            )
        if _row_bytes(member) > _LARGEST_IMAGE:
            raise ConfigError(
                f"{where} has images of {_row_bytes(member)} bytes each: the limit is {_LARGEST_IMAGE} bytes."
            )
        if member.dtype.kind != "f" and member.dtype not in (np.uint8, np.uint16):
            raise ConfigError(
                f"{where} is of type {member.dtype}: save pixels as uint8, uint16, or floats from 0 to 1."
            )
    train, test = images["train"], images["test"]
    if (_depth(train), train.dtype.name) != (_depth(test), test.dtype.name):
        raise ConfigError(
            f"{train.path}: x_train {train.shape} {train.dtype} and x_test {test.shape} {test.dtype} "
            "differ in channels or type: both must have the same."
        )


def _depth(member: Member) -> int:
    return member.shape[3] if len(member.shape) == 4 else 1


def _row_bytes(member: Member) -> int:
    return math.prod(member.shape[1:]) * member.dtype.itemsize


def _scale(images: dict[Split, Member]) -> float:
    """Factor that scales pixels to 0 ... 255."""
    dtype = images["train"].dtype
    if dtype.kind != "f":
        return 1.0 if dtype.itemsize == 1 else 1 / 257
    return 255.0 if max(_largest_float(member) for member in images.values()) <= 1 else 1.0


def _largest_float(member: Member) -> float:
    """Largest pixel; refuse pixels that aren't between 0 and 255."""
    where, largest = f"{member.path}: {member.key}", 0.0
    for block in member.blocks(max(1, 2**24 // _row_bytes(member))):
        if not np.isfinite(block).all():
            raise ConfigError(f"{where} holds NaN or infinite pixels: remove those images.")
        if block.min() < 0 or block.max() > 255:
            raise ConfigError(
                f"{where} holds pixels between {block.min():g} and {block.max():g}: "
                "save them between 0 and 1, or between 0 and 255."
            )
        largest = max(largest, float(block.max()))
    return largest


# Labels and class names


def _read_labels(labels: Member, images: Member) -> npt.NDArray[np.int32]:
    where, count = f"{labels.path}: {labels.key}", images.shape[0]
    if labels.shape not in ((count,), (count, 1)):
        raise ConfigError(f"{where} has the shape {labels.shape}: {images.key} needs {count} labels, [n].")
    if labels.dtype.kind not in "iuf":
        raise ConfigError(f"{where} is of type {labels.dtype}: labels are whole numbers from 0.")
    values = labels.read().reshape(-1)
    check_class_numbers(where, values)
    return values.astype(np.int32)


def _class_names(
    name: str, path: Path, names: Member | None, labels: Mapping[Split, npt.NDArray[np.int32]]
) -> tuple[str, ...]:
    largest = max(int(np.max(values)) for values in labels.values())
    found = class_name_texts(names) if names else published_names(name, largest + 1)
    if len(found) <= largest:
        raise ConfigError(f"{path} has {len(found)} class_names, but a label {largest}: name every class.")
    if len(found) < 2:
        raise ConfigError(f"{path} has a single class: at least two are needed.")
    check_every_class(path, labels["train"], len(found))
    return found


def class_name_texts(member: Member) -> tuple[str, ...]:
    """Read the array ``class_names``: distinct, printable strings.

    Raises
    ------
    ConfigError
        If it is anything else.
    Corrupt
        If the data are damaged.
    """
    where = f"{member.path}: class_names"
    if member.dtype.kind not in "US" or len(member.shape) != 1:
        raise ConfigError(f"{where} is not a list of strings: save numpy.array of the names.")
    if member.shape[0] > MOST_CLASSES:
        raise ConfigError(f"{where} has {member.shape[0]} names: the limit is {MOST_CLASSES} classes.")
    names = member.read()
    try:
        texts = tuple(map(str, np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} isn't UTF-8: save the names as str.") from error
    wrong = misnamed(texts)
    if wrong:
        raise ConfigError(f"{where} holds {wrong}: give each class a name of its own.")
    return texts
