"""Distilled sets as ``.pt``: a dictionary of tensors that ``torch.save`` has written.  PyTorch reads them.

Such a file is an uncompressed zip archive: the tensors, and a pickle that says how to put them together.
``torch.load`` reads it with ``weights_only``, which executes nothing, and maps the tensors from the file, so
that a tensor takes no memory before its shape has been checked.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.exchange.records import DatasetInfo, Format, LazyArray, SetFile, read_metadata
from rcig_cli.data.files import open_archive
from rcig_cli.errors import ConfigError, Corrupt

_LARGEST_PICKLE = 2**20  # bytes
_TYPES = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64")


def recognize(path: Path, head: bytes) -> bool:
    """Whether a file is a zip archive with a pickle, or is called ``.pt`` or ``.pth``."""
    if not head.startswith(b"PK\x03\x04"):
        return path.suffix.lower() in (".pt", ".pth")
    with open_archive(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def read_set(path: Path, _: DatasetInfo) -> SetFile:
    """Read a dictionary of tensors; their values are read when they are asked for; see `Format.read`."""
    _check_archive(path)
    content = _load(path)
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} does not hold a dictionary: save {{'images': ..., 'labels': ...}} with torch.save."
        )
    arrays = {
        name: _lazy(value)
        for name, value in content.items()
        if isinstance(name, str) and _type_name(value) in _TYPES
    }
    return SetFile(path, arrays, *read_metadata(path, {"space": content.get("space")}))


def _type_name(tensor: Any) -> str:
    return str(getattr(tensor, "dtype", "")).removeprefix("torch.")


def _lazy(tensor: Any) -> LazyArray:
    dtype = np.dtype(_type_name(tensor))
    return LazyArray(tuple(tensor.shape), dtype, lambda: tensor.detach().contiguous().numpy())


def _check_archive(path: Path) -> None:
    with open_archive(path) as archive:
        entries = archive.infolist()
    pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
    if not pickles or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise Corrupt(f"{path} is damaged, or wasn't written by torch.save: save it again.")
    if sum(entry.file_size for entry in pickles) > _LARGEST_PICKLE:
        raise ConfigError(f"{path} holds far more than two tensors: save only images and labels.")


def _load(path: Path) -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Reading {path} needs PyTorch: install it with `pip install torch`, "
            "or save the arrays with numpy.savez."
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # PyTorch raises errors of many kinds on damaged files
        raise Corrupt(
            f"{path} is damaged, or holds objects that PyTorch does not load safely: save a dictionary with "
            "the tensors images and labels, with PyTorch 1.6 or later."
        ) from error


FORMAT = Format("torch", recognize, read_set)
