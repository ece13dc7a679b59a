"""Distilled sets as ``.safetensors``: the same arrays as in ``.npz``.

Everything else is in the file's metadata, as strings: ``space``, ``dataset``, ``run``, ``rcig_format``
and, as JSON, ``class_names`` and the settings of a parametrized set, ``parametrization``.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from rcig_cli.data.exchange.records import (
    Array,
    DatasetInfo,
    ExportedSet,
    Format,
    LazyArray,
    SetFile,
    read_metadata,
)
from rcig_cli.errors import Corrupt

_TYPES = {"F16": "f2", "F32": "f4", "F64": "f8", "U8": "u1"} | {f"I{8 * n}": f"i{n}" for n in (1, 2, 4, 8)}


def recognize(path: Path, head: bytes) -> bool:
    """Whether a file begins with a length and a JSON object, or is called ``.safetensors``."""
    return head[8:9] == b"{" or path.suffix.lower() == ".safetensors"


def read_set(path: Path, _: DatasetInfo) -> SetFile:
    """Read the header; the arrays are read when they are asked for; see `Format.read`.

    The library refuses a header above 100 MB, and one that declares other sizes than the file has.
    """
    from safetensors import SafetensorError, safe_open

    arrays = {}
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            for name in file.keys():  # noqa: SIM118, not a dictionary
                array = file.get_slice(name)
                if array.get_dtype() in _TYPES:
                    dtype = np.dtype(_TYPES[array.get_dtype()])
                    arrays[name] = LazyArray(tuple(array.get_shape()), dtype, partial(_read, path, name))
    except SafetensorError as error:
        raise Corrupt(f"{path} is damaged, cut short or not a .safetensors file: copy it again.") from error
    return SetFile(path, arrays, *read_metadata(path, metadata))


def _read(path: Path, name: str) -> Array:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        array: Array = file.get_tensor(name)
    return array


def write_set(path: Path, exported: ExportedSet) -> None:
    """Write a distilled set into a new file."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    path.touch(exist_ok=False)
    mode = path.stat().st_mode
    contiguous = {name: np.ascontiguousarray(array) for name, array in exported.arrays().items()}
    try:
        # `save` would take twice the memory of the arrays.
        save_file(contiguous, path, metadata=exported.metadata())
    except SafetensorError as error:  # the disk is full, for example
        raise OSError(str(error)) from error
    path.chmod(mode)  # the library makes files that only their owner can read


FORMAT = Format(
    "safetensors", recognize, read_set, write_set, suffix=".safetensors", endings=(".safetensors",)
)
