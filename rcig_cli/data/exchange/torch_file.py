"""Distilled sets in files that ``torch.save`` has written; PyTorch reads and writes them.

Such a file is an uncompressed zip archive: the tensors, and a pickle that says how to put them together.
``torch.load`` reads it with ``weights_only``, which executes nothing, and maps the tensors from the file, so
that a tensor takes no memory before its shape has been checked.

==============================================  =====================================================
``{"images": x, "labels": y, ...}``             as rcig writes it
``{"data": [[x, y], ...], ...}``                a list of sets, as DC, DSA and DM write it
``[x, y]``, or ``[[x, y], ...]``                the same without a dictionary
``x`` alone in ``images_best.pt``               MTT, DATM and others; ``y`` is in ``labels_best.pt``
==============================================  =====================================================
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.exchange.records import (
    VERSION,
    VERSION_KEY,
    Array,
    DatasetInfo,
    ExportedSet,
    Format,
    LazyArray,
    SetFile,
    read_metadata,
)
from rcig_cli.data.files import check_inside, open_archive, open_file
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, Corrupt

_LARGEST_PICKLE = 2**20  # bytes
_TYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64")
_SUFFIXES = (".pt", ".pth")
_IN_FOLDER = "images_best.pt"
_OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first bytes of a file of PyTorch before 1.6


def recognize(path: Path, head: bytes) -> bool:
    """Whether a path is a zip archive with a pickle, is called ``.pt``, or is a folder of two tensors."""
    if path.is_dir():
        return (path / _IN_FOLDER).is_file()
    if not head.startswith(b"PK\x03\x04"):
        return path.suffix.lower() in _SUFFIXES or head.startswith(_OLD)
    with open_archive(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def read_set(path: Path, _: DatasetInfo) -> SetFile:
    """Read tensors; their values are read when they are asked for; see `Format.read`."""
    if path.is_dir():
        return read_two_files(path, path / _IN_FOLDER)
    content = _load(path)
    if _is_tensor(content):
        return read_two_files(path, path)
    if isinstance(content, dict) and "data" not in content:
        named = {name: _lazy(path, value) for name, value in content.items() if _is_tensor(value)}
        return SetFile(path, named, *read_metadata(path, content))
    sets = _pairs(path, content["data"] if isinstance(content, dict) else content)
    if not sets:
        raise ConfigError(
            f"{path} holds no tensors in a known arrangement: save {{'images': ..., 'labels': ...}} with "
            "torch.save; docs/exchange.md lists the others."
        )
    return SetFile(path, {}, sets=tuple(sets))


def read_two_files(path: Path, images: Path) -> SetFile:
    """Read a set whose images are alone in a file, and whose labels are in another beside it.

    ``path`` is what the user named: the file with the images, or the folder.
    """
    beside = images.with_name(images.name.replace("images", "labels", 1))
    if not images.name.startswith("images") or not beside.is_file():
        raise ConfigError(
            f"{path} is a single tensor: its labels must be in a file beside it, as in images_best.pt and "
            "labels_best.pt, or in the same dictionary."
        )
    for file in (images, beside) if path.is_dir() else (beside,):
        check_inside(file, images.parent)
    arrays = {"images": _lazy(images, _tensor(images)), "labels": _lazy(beside, _tensor(beside))}
    notes = (Note("labels", f"The labels of {images} were read from {beside.name}."),)
    return SetFile(path, arrays, files=(images, beside), notes=notes)


def _tensor(path: Path) -> Any:
    content = _load(path)
    if not _is_tensor(content):
        raise ConfigError(f"{path} must hold a single tensor.")
    return content


def _pairs(path: Path, content: Any) -> list[Mapping[str, LazyArray]]:
    """The sets in a list of pairs of tensors, or in one pair; none if it isn't either."""
    if not isinstance(content, list | tuple):
        return []
    pairs = [content] if len(content) == 2 and all(map(_is_tensor, content)) else content
    if not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_tensor, pair)) for pair in pairs
    ):
        return []
    return [{"images": _lazy(path, images), "labels": _lazy(path, labels)} for images, labels in pairs]


def _is_tensor(value: Any) -> bool:
    return _type_name(value) in _TYPES


def _type_name(tensor: Any) -> str:
    return str(getattr(tensor, "dtype", "")).removeprefix("torch.")


def _lazy(path: Path, tensor: Any) -> LazyArray:
    def read() -> Array:
        try:
            array: Array = tensor.detach().contiguous().numpy()
        except (RuntimeError, TypeError) as error:  # it is sparse, for example
            raise ConfigError(f"{path} has a tensor that isn't an array: {error}") from error
        return array

    return LazyArray(tuple(tensor.shape), np.dtype(_type_name(tensor)), read)


def _check_archive(path: Path) -> None:
    with open_file(path) as stream:
        if stream.read(len(_OLD)) == _OLD:
            raise ConfigError(
                f"{path} was written by PyTorch before 1.6: load and save it again with a later version."
            )
    with open_archive(path) as archive:
        entries = archive.infolist()
    pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
    if not pickles or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise Corrupt(f"{path} is damaged, or wasn't written by torch.save: save it again.")
    if sum(entry.file_size for entry in pickles) > _LARGEST_PICKLE:
        raise ConfigError(f"{path} holds far more than two tensors: save only images and labels.")


class _Ignored:
    """Stands in for all other objects than tensors, such as NumPy's numbers in a list of accuracies."""

    def __init__(self, *_: Any) -> None:
        """Ignore the arguments."""

    def __setstate__(self, _: Any) -> None:
        """Ignore the state."""


def _load(path: Path) -> Any:
    _check_archive(path)
    torch = import_torch(f"Reading {path}", ", or save the set with numpy.savez instead")
    from torch import serialization

    try:
        ignored: list[Any] = [
            (_Ignored, name) for name in serialization.get_unsafe_globals_in_checkpoint(str(path))
        ]
        with serialization.safe_globals(ignored):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # PyTorch raises errors of many kinds on damaged files
        raise Corrupt(
            f"{path} is damaged, or holds objects that PyTorch does not load safely: save a dictionary with "
            "the tensors images and labels, with PyTorch 2.6 or later."
        ) from error


def import_torch(what: str, instead: str = "") -> Any:
    """Import PyTorch, which ``what`` needs; raises `ConfigError` if it isn't installed."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ConfigError(f"{what} needs PyTorch: install it with `pip install torch`{instead}.") from error
    return torch


def write_set(path: Path, exported: ExportedSet) -> None:
    """Write a distilled set into a new file: images and pixels ``[n, c, H, W]``, the rest as in ``.npz``.

    The settings of a parametrized set are a dictionary, and its stored arrays keep their order of axes.
    """
    torch = import_torch("--format torch", ", or export as npz instead")
    arrays = exported.arrays()
    arrays |= {name: arrays[name].transpose(0, 3, 1, 2) for name in ("images", "pixels")}
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    described = {**exported.texts(), "class_names": list(exported.class_names), VERSION_KEY: VERSION}
    if exported.parametrization is not None:
        described["parametrization"] = dict(exported.parametrization)
    save({**tensors, **described}, path)


def save(content: Any, path: Path) -> None:
    """Call ``torch.save``; raises `OSError` if the file can't be written, as other writers do."""
    import torch

    try:
        torch.save(content, path)
    except RuntimeError as error:  # the disk is full, for example
        raise OSError(str(error).partition("\n")[0]) from error


FORMAT = Format("torch", recognize, read_set, write_set, suffix=".pt", endings=_SUFFIXES)
