"""What a sweep runs over: a TOML file, checked, and the combinations of settings it stands for.

::

    dataset = "digits"             settings that all runs share
    ipc = 1

    [[sweep]]                      each block: every combination of its lists
    inner_steps = [2, 5, 10]
    seed = [0, 1]

    [[sweep]]                      the sweep is what any block gives, once each
    hessian_steps = [2, 5, 10]

    [evaluate]                     how each run is judged
    networks = 3
"""

import difflib
import itertools
import math
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.errors import ConfigError, NotFound
from rcig_cli.presets.config import declared_settings
from rcig_cli.settings import shown as short

MOST_RUNS = 1000
_MOST_BYTES = 1 << 20

# Kinds of values, by the Python type a setting is annotated with; all others are words.
_KINDS: Mapping[type, tuple[str, tuple[type, ...]]] = {
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    bool: ("true or false", (bool,)),
    str: ("a text", (str,)),
}
_EVALUATE: Mapping[str, type] = {
    **{"arch": str, "norm": str, "augment": bool, "hard_labels": bool, "baseline": bool, "flip": bool},
    **{"networks": int, "steps": int, "width": int, "depth": int, "seed": int, "lr": float, "warmup": int},
}
# What the paper, the command line or a hasty hand calls them.
_OTHER_NAMES = {
    **{"n_Hinv": "hessian_steps", "n_inner": "inner_steps", "seeds": "seed", "algorithms": "algorithm"},
}


@dataclass(frozen=True)
class SweepPlan:
    """A sweep as its file has it.

    Attributes
    ----------
    dataset
        Name of the data set, or None for the only one there is.
    settings
        What all runs share, by name.
    blocks
        For each block, from a setting's name to its values.
    evaluate
        How each run is judged: what differs from the paper's protocol.
    """

    dataset: str | None
    settings: Mapping[str, Any]
    blocks: tuple[Mapping[str, tuple[Any, ...]], ...]
    evaluate: Mapping[str, Any]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the settings in any block, in the order they are written."""
        return tuple(dict.fromkeys(name for block in self.blocks for name in block))

    def combinations(self) -> list[dict[str, Any]]:
        """Every combination of settings, block by block, the last setting of a block changing fastest."""
        return [
            {**self.settings, **dict(zip(block, values, strict=True))}
            for block in self.blocks
            for values in itertools.product(*block.values())
        ]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "dataset": self.dataset,
            "settings": dict(self.settings),
            "sweep": [{name: list(values) for name, values in block.items()} for block in self.blocks],
            "evaluate": dict(self.evaluate),
        }


def read_plan(path: Path) -> SweepPlan:
    """Read a sweep's file.

    Raises
    ------
    NotFound
        If there is no such file.
    ConfigError
        If it can't be read, or holds what a sweep can't have.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.") from None
    except OSError as error:
        raise ConfigError(f"{path} can't be read ({(error.strerror or str(error)).lower()}).") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path} is larger than any sweep's file need be: it is to be TOML of some lines.")
    try:
        document = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} isn't readable TOML: {error}.") from None
    try:
        return make_plan(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def make_plan(document: Mapping[str, Any]) -> SweepPlan:
    """Check what a sweep's file says.

    Raises
    ------
    ConfigError
        With the first thing that is wrong, and what it might have been.
    """
    settings = {name: value for name, value in document.items() if name not in ("sweep", "evaluate")}
    known = {name: each.type for name, each in declared_settings().items()}
    _check_names(settings, {*known, "sweep", "evaluate"})
    for name, value in settings.items():
        if isinstance(value, list):
            raise ConfigError(f"{name} has several values: write it under [sweep].")
        _check_kind(name, value, known[name])
    dataset = settings.pop("dataset", None)
    blocks = tuple(_block(block, known) for block in _blocks(document))
    _check_count(blocks)
    if not all("ipc" in settings or "ipc" in block for block in blocks):
        raise ConfigError("say how many images per class to distil, for example ipc = 1 in the first line.")
    return SweepPlan(dataset, settings, blocks, _evaluate(document.get("evaluate", {})))


def _blocks(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = document.get("sweep", [])
    blocks = [found] if isinstance(found, dict) else found
    if not blocks or not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ConfigError("it needs a table [sweep] with what is swept over, for example seed = [0, 1, 2].")
    return blocks


def _block(block: Mapping[str, Any], known: Mapping[str, type]) -> dict[str, tuple[Any, ...]]:
    _check_names(block, known)
    values = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in block.items()}
    for name, each in values.items():
        if name == "dataset":
            raise ConfigError("a sweep has one data set: write dataset above [sweep].")
        if not each:
            raise ConfigError(f"{name} has no values under [sweep]: give at least one.")
        for value in each:
            _check_kind(name, value, known[name])
    return values


def _check_count(blocks: Iterable[Mapping[str, tuple[Any, ...]]]) -> None:
    count = sum(math.prod(len(values) for values in block.values()) for block in blocks)
    if count > MOST_RUNS:
        raise ConfigError(f"that is more than {MOST_RUNS} runs: sweep over fewer values at a time.")


def _evaluate(table: Any) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError("evaluate must be a table: [evaluate], then for example networks = 3.")
    _check_names(table, _EVALUATE, where=" under [evaluate]")
    for name, value in table.items():
        _check_kind(f"{name} under [evaluate]", value, _EVALUATE[name])
    return dict(table)


def _check_kind(name: str, value: Any, kind: type) -> None:
    noun, allowed = _KINDS[kind]
    # True is an int in Python, but isn't a number to anybody else.
    wrong = not isinstance(value, allowed) or isinstance(value, bool) is not (kind is bool)
    # TOML has NaN and infinities, and whole numbers of any length.
    if wrong or (isinstance(value, int | float) and not abs(value) <= sys.float_info.max):
        raise ConfigError(f"{name} must be {noun}, not {short(value)}.")


def _check_names(given: Iterable[str], known: Iterable[str], where: str = "") -> None:
    names = sorted(known)
    for name in given:
        if name in names:
            continue
        other = _OTHER_NAMES.get(name)
        near = [other] if other in names else difflib.get_close_matches(name[:100], names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}."
        raise ConfigError(f"there is no setting {short(name)}{where}{hint}")
