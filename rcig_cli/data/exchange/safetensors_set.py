"""Distilled sets as ``.safetensors``: ``images``, ``labels`` and whatever else describes them.

What is no array is in the file's metadata: ``space``, ``dataset``, ``run``, ``rcig_format`` and, as JSON,
``class_names``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.exported_format import FORMAT, NAME, check_format
from rcig_cli.data.exchange.foreign import SPACES, Opened, Space, Stored
from rcig_cli.data.exchange.outgoing import OutgoingSet
from rcig_cli.data.layouts.regular import open_regular
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_LARGEST_HEADER = 2**22
_TYPES = {
    "F16": "f2",
    "F32": "f4",
    "F64": "f8",
    "U8": "u1",
    "I8": "i1",
    "I16": "i2",
    "I32": "i4",
    "I64": "i8",
}


def open_set(path: Path) -> Opened:
    """Open a ``.safetensors`` file with a distilled set.

    Raises
    ------
    Corrupt
        If it is damaged, cut short (the library holds the header against the file's size) or of a newer
        format.
    ConfigError
        If it says what its images are and it isn't one of `SPACES`.
    """
    from safetensors import SafetensorError, safe_open

    _check_header(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names: list[str] = file.keys()
            slices = {name: file.get_slice(name) for name in names}
            arrays = {
                name: Stored(
                    tuple(slice_.get_shape()),
                    np.dtype(_TYPES[slice_.get_dtype()]),
                    partial(_read, path, name),
                )
                for name, slice_ in slices.items()
                if slice_.get_dtype() in _TYPES
            }
    except SafetensorError as error:
        raise Corrupt(
            f"{path} is damaged, cut short or no .safetensors file: make or copy it again."
        ) from error
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    check_format(path, metadata.get(NAME))
    return Opened(path, arrays, space_of(path, metadata), class_names_of(path, metadata))


def _check_header(path: Path) -> None:
    """Refuse a header so long that what is made of it takes much memory."""
    try:
        with open_regular(path) as stream:
            length = int.from_bytes(stream.read(8), "little")
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    if _LARGEST_HEADER < length <= size:
        raise ConfigError(f"{path} has a header of {length} bytes: at most {_LARGEST_HEADER} are read.")


def _read(path: Path, name: str) -> npt.NDArray[Any]:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        array: npt.NDArray[Any] = file.get_tensor(name)
    return array


def space_of(path: Path, metadata: Mapping[str, str]) -> Space | None:
    """What the images are, where ``space`` says it.

    Raises
    ------
    ConfigError
        If it says something else than one of `SPACES`.
    """
    word = metadata.get("space")
    for space in SPACES:
        if word == space:
            return space
    if word is not None:
        raise ConfigError(f"{path}: its metadata say a space that isn't one of {', '.join(SPACES)}.")
    return None


def class_names_of(path: Path, metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """The names of the classes, where ``class_names`` has them as JSON.

    Raises
    ------
    Corrupt
        If it is no list of texts, or longer than a header may be.
    """
    if "class_names" not in metadata:
        return None
    text = metadata["class_names"]
    try:
        names = json.loads(text) if len(text) <= _LARGEST_HEADER else None
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Corrupt(f"{path}: its class_names are no list of texts.")
    return tuple(names)


def metadata_for(outgoing: OutgoingSet) -> dict[str, str]:
    """What a set says about itself, as texts by name."""
    return {
        "space": "whitened",
        "dataset": outgoing.dataset,
        "run": outgoing.run,
        "class_names": json.dumps(outgoing.class_names),
        NAME: str(FORMAT),
    }


def write_set(path: Path, outgoing: OutgoingSet) -> None:
    """Write a distilled set into a new file."""
    save(path, outgoing.arrays(), metadata_for(outgoing))


def save(path: Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: dict[str, str] | None = None) -> None:
    """Write arrays into a new file."""
    from safetensors.numpy import save_file

    path.touch(exist_ok=False)
    mode = path.stat().st_mode
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path, metadata=metadata)
    path.chmod(mode)  # the library's files can be read by their owner only
