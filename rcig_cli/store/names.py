"""The names of data sets, runs, sweeps and sequences of tasks: which are allowed, and how they sort.

A name becomes the name of a folder, so it can't be a path: it has no separator and no dot.
"""

import re
from collections.abc import Sequence
from typing import Literal

from rcig_cli.errors import ConfigError, shorten

Kind = Literal["data set", "run", "sweep", "sequence"]
GroupKind = Literal["sweep", "sequence"]  # several runs that belong together

NEWEST = "newest"  # in place of a run's name: the newest run
RESERVED = ("run_", "sweep_", "sequence_")  # how no name may begin that a user chooses
# The folder of a store that has the artifacts of a kind.
FOLDERS: dict[Kind, str] = {
    "data set": "datasets",
    "run": "runs",
    "sweep": "sweeps",
    "sequence": "sequences",
}

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RULE = "use 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or a digit"
_NUMBERED = re.compile(r"(run|sweep|sequence)_([1-9][0-9]{0,8})")


def is_name(kind: Kind, name: str) -> bool:
    """Whether an artifact of a kind may have this name.

    A sweep is called ``sweep_7``, a sequence of tasks ``sequence_7``, and a run ``run_7`` or as the user
    wants, but not beginning with ``run_``.  The user names data sets.  Nothing is called ``newest``.
    """
    if name == NEWEST:
        return False
    if kind in ("sweep", "sequence") or (kind == "run" and name.startswith("run_")):
        return number_of(kind, name) > 0
    return _PLAIN.fullmatch(name) is not None


def number_of(kind: Kind, name: str) -> int:
    """Return 7 for a "run" ``run_7``, and 0 for a name without a number or of another kind."""
    match = _NUMBERED.fullmatch(name)
    return int(match[2]) if match and match[1] == kind else 0


def check_name(kind: Kind, name: str) -> str:
    """Return `name`.

    Raises
    ------
    ConfigError
        If it is not a valid name for an artifact of that kind.
    """
    if is_name(kind, name):
        return name
    rule = (
        f"{_RULE}, but not {NEWEST}" if kind == "data set" else f"`rcig list` shows the names of all {kind}s"
    )
    raise ConfigError(f"{shorten(name)} is not a valid name of a {kind}: {rule}.")


def check_chosen_name(name: str) -> str:
    """Return a name that a user chose for a run.

    Raises
    ------
    ConfigError
        If it is not valid, or reserved for names that rcig chooses.
    """
    if not _PLAIN.fullmatch(name):
        raise ConfigError(f"{shorten(name)} is not a valid name of a run: {_RULE}.")
    if name == NEWEST or name.startswith(RESERVED):
        raise ConfigError(
            f"{name!r} is reserved: choose a name that is not {NEWEST} and doesn't begin with "
            f"{', '.join(RESERVED[:-1])} or {RESERVED[-1]}."
        )
    return name


def check_tags(tags: str | Sequence[str]) -> tuple[str, ...]:
    """Return the tags that a user gave a run, each once; a text is a single one.

    Raises
    ------
    ConfigError
        If one is not valid.
    """
    tags = (tags,) if isinstance(tags, str) else tags
    for tag in tags:
        if not _PLAIN.fullmatch(tag):
            raise ConfigError(f"{shorten(tag)} is not a valid tag: {_RULE}.")
    return tuple(dict.fromkeys(tags))


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts ``run_2`` before ``run_10``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)
