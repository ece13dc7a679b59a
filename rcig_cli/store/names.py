"""The names of data sets, runs and sweeps: which are allowed, how they sort, which is nearest.

A name becomes a folder, so the rules leave no room for a path: no separator, no dot, no NUL, and a
length that every file system takes.
"""

import os
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from rcig_cli.errors import ConfigError

_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NUMBERED = re.compile(r"run_[1-9][0-9]{0,8}")
_SWEEP = re.compile(r"sweep_[1-9][0-9]{0,8}")
_RULE = "use 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or a digit"


def is_dataset_name(name: str) -> bool:
    """Whether a data set may have this name."""
    return _PLAIN.fullmatch(name) is not None


def is_run_name(name: str) -> bool:
    """Whether a run may have this name: ``run_7``, or (imported runs) as a data set's, without ``run_``."""
    if name.startswith("run_"):
        return _NUMBERED.fullmatch(name) is not None
    return _PLAIN.fullmatch(name) is not None


def is_sweep_name(name: str) -> bool:
    """Whether a sweep may have this name: ``sweep_7``."""
    return _SWEEP.fullmatch(name) is not None


def run_number(name: str) -> int | None:
    """Return 7 for ``run_7``, and None for a name without a number of its own."""
    return int(name.removeprefix("run_")) if _NUMBERED.fullmatch(name) else None


def sweep_number(name: str) -> int | None:
    """Return 7 for ``sweep_7``, and None for any other name."""
    return int(name.removeprefix("sweep_")) if _SWEEP.fullmatch(name) else None


def check_dataset_name(name: str) -> str:
    """Return `name`.

    Raises
    ------
    ConfigError
        If no data set may have that name.
    """
    if not is_dataset_name(name):
        raise ConfigError(f"{shorten(name)} can't be the name of a data set: {_RULE}.")
    return name


def check_run_name(name: str) -> str:
    """Return `name`.

    Raises
    ------
    ConfigError
        If no run may have that name.
    """
    if not is_run_name(name):
        raise _misnamed("run", name)
    return name


def check_sweep_name(name: str) -> str:
    """Return `name`.

    Raises
    ------
    ConfigError
        If no sweep may have that name.
    """
    if not is_sweep_name(name):
        raise _misnamed("sweep", name)
    return name


def _misnamed(kind: str, name: str) -> ConfigError:
    return ConfigError(
        f"{shorten(name)} can't be the name of a {kind}: {kind}s are called {kind}_1, {kind}_2 and so on. "
        "`rcig list` shows them."
    )


def is_inner_path(path: str) -> bool:
    """Whether a relative path with forward slashes stays within the folder it is relative to."""
    pure = PurePosixPath(path)
    tidy = pure.as_posix() == path and path != "." and "\0" not in path and "\\" not in path
    return tidy and not pure.is_absolute() and ".." not in pure.parts and _is_encodable(path)


def _is_encodable(path: str) -> bool:
    """Whether a file can be called so: JSON has strings with halves of characters."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts ``run_2`` before ``run_10``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple(_number_key(part) if part.isdecimal() else (1, 0, part) for part in parts)


def _number_key(digits: str) -> tuple[int, int, str]:
    # By the number's length first: Python refuses to read thousands of digits.
    number = digits.lstrip("0")
    return 0, len(number), f"{number} {digits}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` may be a slip of, or None."""
    from difflib import get_close_matches

    matches = get_close_matches(name, list(names), n=1)
    return matches[0] if matches else None


def shorten(value: object, limit: int = 60) -> str:
    """Return a value as Python writes it, cut so that it fits into a sentence."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
