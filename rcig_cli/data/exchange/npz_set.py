"""Distilled sets as ``.npz``: ``images``, ``labels`` and whatever else describes them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.exchange.exported_format import FORMAT, NAME, check_format
from rcig_cli.data.exchange.foreign import SPACES, Opened, Space, Stored
from rcig_cli.data.exchange.outgoing import OutgoingSet
from rcig_cli.data.sources.npz_labels import class_name_texts
from rcig_cli.data.sources.npz_member import Member, members
from rcig_cli.errors import ConfigError

_WORD = 256  # bytes


def open_set(path: Path) -> Opened:
    """Open an ``.npz`` file with a distilled set.

    Raises
    ------
    Corrupt, ConfigError, RcigError
        As `members`; ConfigError too if it says what its images are and it isn't one of `SPACES`.
    """
    found = members(path)
    if NAME in found:
        check_format(path, _number(found[NAME]))
    names = found.get("class_names")
    return Opened(
        path,
        {name: stored(member) for name, member in found.items()},
        _space(found["space"]) if "space" in found else None,
        class_name_texts(names) if names else None,
    )


def stored(member: Member) -> Stored:
    """An array of an ``.npz`` file; whoever reads it has looked at its shape."""
    size = int(np.prod(member.shape, dtype=object)) * member.dtype.itemsize
    return Stored(member.shape, member.dtype, partial(member.read, most=size))


def _number(member: Member) -> str:
    """A whole number as digits; nothing where it is something else."""
    is_number = member.dtype.kind in "iu" and not member.shape
    return str(int(member.read())) if is_number else ""


def _space(member: Member) -> Space:
    if member.dtype.kind == "U" and not member.shape and member.dtype.itemsize <= _WORD:
        word = str(member.read())
        for space in SPACES:
            if word == space:
                return space
    raise ConfigError(f"{member.path}: space must be one of {', '.join(SPACES)}, as a text.")


def write_set(path: Path, outgoing: OutgoingSet) -> None:
    """Write a distilled set into a new file."""
    arrays: dict[str, Any] = {
        **outgoing.arrays(),
        "class_names": np.array(outgoing.class_names),
        "space": np.array("whitened"),
        "dataset": np.array(outgoing.dataset),
        "run": np.array(outgoing.run),
        NAME: np.array(FORMAT),
    }
    with path.open("xb") as stream:
        np.savez(stream, **arrays)
