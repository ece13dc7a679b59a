"""The names of data sets, runs and sweeps: which are allowed, how they sort, which is nearest.

A name becomes the name of a folder, so it can't be a path: it has no separator and no dot.
"""

import re
from collections.abc import Iterable

from rcig_cli.errors import ConfigError, shorten

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NUMBERED = re.compile(r"(run|sweep)_([1-9][0-9]{0,8})")


def is_dataset_name(name: str) -> bool:
    """Whether a data set may have this name."""
    return _PLAIN.fullmatch(name) is not None


def is_run_name(name: str) -> bool:
    """Whether a run may have this name: ``run_7``, or (imported runs) as a data set's, without ``run_``."""
    return number_of("run", name) > 0 if name.startswith("run_") else is_dataset_name(name)


def is_sweep_name(name: str) -> bool:
    """Whether a sweep may have this name: ``sweep_7``."""
    return number_of("sweep", name) > 0


def number_of(kind: str, name: str) -> int:
    """Return 7 for a "run" ``run_7`` or a "sweep" ``sweep_7``, and 0 for a name without a number."""
    match = _NUMBERED.fullmatch(name)
    return int(match[2]) if match and match[1] == kind else 0


def check_name(kind: str, name: str) -> str:
    """Return `name`.

    Parameters
    ----------
    kind
        "data set", "run" or "sweep".
    name
        Of an artifact of that kind.

    Raises
    ------
    ConfigError
        If it can't have that name.
    """
    is_name = {"data set": is_dataset_name, "run": is_run_name, "sweep": is_sweep_name}[kind]
    if is_name(name):
        return name
    rule = "use 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or a digit"
    if kind != "data set":
        rule = f"{kind}s are called {kind}_1, {kind}_2 and so on. `rcig list` shows them"
    raise ConfigError(f"{shorten(name)} can't be the name of a {kind}: {rule}.")


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts ``run_2`` before ``run_10``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` is probably a misspelling of, or None."""
    from difflib import get_close_matches

    matches = get_close_matches(name, list(names), n=1)
    return matches[0] if matches else None
