"""Distilled sets as ``.npz``: ``images``, ``labels`` and everything that describes them, as arrays."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.exchange.records import (
    VERSION,
    VERSION_KEY,
    DatasetInfo,
    ExportedSet,
    Format,
    LazyArray,
    SetFile,
    check_version,
    parse_space,
)
from rcig_cli.data.sources.npz import Member, class_name_texts, members

_LARGEST_SCALAR = 1024  # bytes


def recognize(path: Path, head: bytes) -> bool:
    """Whether a file is a zip archive, or is called ``.npz``."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06")) or path.suffix.lower() == ".npz"


def read_set(path: Path, _: DatasetInfo) -> SetFile:
    """Read the headers of the arrays; their values are read when they are asked for.

    Raises
    ------
    ConfigError
        If the archive holds pickled objects, or its ``space`` isn't known.
    Corrupt
        If it is damaged, or was exported by a newer version.
    """
    found = members(path)
    if VERSION_KEY in found:
        check_version(path, str(_scalar(found[VERSION_KEY])))
    space = parse_space(path, _scalar(found["space"])) if "space" in found else None
    names = class_name_texts(found["class_names"]) if "class_names" in found else None
    return SetFile(path, {name: lazy(member) for name, member in found.items()}, space, names)


def lazy(member: Member) -> LazyArray:
    """An array of an ``.npz`` file, of any size: its shape is checked before it is read."""
    size = math.prod(member.shape) * member.dtype.itemsize
    return LazyArray(member.shape, member.dtype, partial(member.read, most=size))


def _scalar(member: Member) -> Any:
    """A number or string; an empty string if the array holds something else."""
    return member.read(_LARGEST_SCALAR).item() if member.shape == () and member.dtype.kind in "iuU" else ""


def write_set(path: Path, exported: ExportedSet) -> None:
    """Write a distilled set into a new file."""
    texts = {"space": "whitened", "dataset": exported.dataset, "run": exported.run}
    described = {**texts, "class_names": exported.class_names, VERSION_KEY: VERSION}
    arrays = {name: np.array(value) for name, value in described.items()}
    with path.open("xb") as stream:
        np.savez(stream, allow_pickle=False, **exported.arrays(), **arrays)


FORMAT = Format("npz", recognize, read_set, write_set, suffix=".npz")
