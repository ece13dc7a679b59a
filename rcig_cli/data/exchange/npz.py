"""Distilled sets as ``.npz``: ``images``, ``labels`` and everything that describes them, as arrays."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from rcig_cli.data.exchange.records import (
    VERSION,
    VERSION_KEY,
    DatasetInfo,
    ExportedSet,
    Format,
    LazyArray,
    SetFile,
    read_metadata,
)
from rcig_cli.data.npz import LARGEST_SMALL_ARRAY, members

_METADATA = (VERSION_KEY, "space", "class_names", "parametrization")


def recognize(path: Path, head: bytes) -> bool:
    """Whether a file is a zip archive, or is called ``.npz``."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06")) or path.suffix.lower() == ".npz"


def read_set(path: Path, _: DatasetInfo) -> SetFile:
    """Read the headers of the arrays; their values are read when they are asked for; see `Format.read`."""
    arrays, metadata = read_arrays(path)
    return SetFile(path, arrays, *read_metadata(path, metadata))


def read_arrays(path: Path) -> tuple[dict[str, LazyArray], dict[str, object]]:
    """Read the headers of the arrays of an ``.npz`` file, and its metadata, for `read_metadata`."""
    found = members(path)
    texts = {name: found[name] for name in _METADATA if name in found}
    metadata = {name: member.read(LARGEST_SMALL_ARRAY).tolist() for name, member in texts.items()}
    # Numbers are checked by their shape before they are read; a string may have any length.
    arrays = {
        name: LazyArray(
            each.shape,
            each.dtype,
            partial(each.read, LARGEST_SMALL_ARRAY if each.dtype.kind in "US" else None),
        )
        for name, each in found.items()
    }
    return arrays, metadata


def write_set(path: Path, exported: ExportedSet) -> None:
    """Write a distilled set into a new file."""
    described = {**exported.texts(), "class_names": exported.class_names, VERSION_KEY: VERSION}
    arrays = {name: np.array(value) for name, value in described.items()}
    with path.open("xb") as stream:
        np.savez(stream, allow_pickle=False, **exported.arrays(), **arrays)


FORMAT = Format("npz", recognize, read_set, write_set, suffix=".npz", endings=(".npz",))
