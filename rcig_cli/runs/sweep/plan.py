"""Reading and checking the TOML file of a sweep, and the combinations of its settings.  Needs no JAX.

::

    dataset = "digits"             settings that all runs share
    ipc = 1

    [[sweep]]                      each block: every combination of its lists
    inner_steps = [2, 5, 10]
    seed = [0, 1]

    [[sweep]]                      the sweep has the combinations of all blocks, each once
    hessian_steps = [2, 5, 10]

    [evaluate]                     how each run is evaluated
    networks = 3

Methods and parametrizations differ in their settings.  A shared setting is left out of the runs of those that
don't have it; a setting in a block is refused with them.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.errors import ConfigError, shorten
from rcig_cli.presets.config import (
    DEFAULT_ALGORITHM,
    DEFAULT_PARAMETRIZATION,
    declared_settings,
    parametrization_settings,
    settings_for,
)
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol
from rcig_cli.settings import check, check_names, read_toml, settings_of

MOST_RUNS = 1000


@dataclass(frozen=True)
class SweepPlan:
    """A sweep as its file describes it.

    Attributes
    ----------
    dataset
        Name of the data set, or None for the only prepared one.
    settings
        The settings that all runs share, by name.
    blocks
        The values of each swept setting, by name, in each block.
    evaluate
        Settings of `EvaluationProtocol` that differ from the defaults, by name.
    baseline
        Whether random subsets are evaluated as well.
    """

    dataset: str | None
    settings: Mapping[str, Any]
    blocks: tuple[Mapping[str, tuple[Any, ...]], ...]
    evaluate: Mapping[str, Any]
    baseline: bool = True

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of all swept settings, in the order of the file."""
        return tuple(dict.fromkeys(name for block in self.blocks for name in block))

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms of all runs."""
        return self._values_of("algorithm", DEFAULT_ALGORITHM)

    @property
    def parametrizations(self) -> tuple[str, ...]:
        """The parametrizations of all runs."""
        return self._values_of("parametrization", DEFAULT_PARAMETRIZATION)

    def _values_of(self, name: str, default: str) -> tuple[str, ...]:
        shared = self.settings.get(name, default)
        return tuple(dict.fromkeys(value for block in self.blocks for value in block.get(name, (shared,))))

    def ignored(self) -> dict[str, tuple[str, ...]]:
        """Return the shared settings that some algorithms or parametrizations don't have, with these."""
        own = parametrization_settings()
        lacking = {
            name: tuple(p for p in self.parametrizations if name not in settings_for(parametrization=p))
            if name in own
            else tuple(a for a in self.algorithms if name not in settings_for(a))
            for name in self.settings
        }
        return {name: users for name, users in lacking.items() if users}

    def combinations(self) -> list[dict[str, Any]]:
        """Return the settings of each run, block by block, the last setting of a block varying fastest."""
        found = []
        for block in self.blocks:
            for values in itertools.product(*block.values()):
                settings = {**self.settings, **dict(zip(block, values, strict=True))}
                own = settings_for(
                    settings.get("algorithm", DEFAULT_ALGORITHM),
                    settings.get("parametrization", DEFAULT_PARAMETRIZATION),
                )
                found.append({n: v for n, v in settings.items() if n in own or n in block})
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "dataset": self.dataset,
            "settings": dict(self.settings),
            "sweep": [{name: list(values) for name, values in block.items()} for block in self.blocks],
            "evaluate": {**self.evaluate, "baseline": self.baseline},
        }


def read_plan(path: Path) -> SweepPlan:
    """Read the file of a sweep.

    Raises
    ------
    NotFound
        If there is no such file.
    ConfigError
        If it can't be read or is not a valid sweep.
    """
    document = read_toml(path)
    try:
        return make_plan(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def make_plan(document: Mapping[str, Any]) -> SweepPlan:
    """Check the content of a sweep's file.

    Raises
    ------
    ConfigError
        If a setting is unknown (the nearest one is named) or has a value that is not allowed, if the tables
        are not as described above, or if there are more than 1000 runs.
    """
    declared = declared_settings()
    settings = {name: value for name, value in document.items() if name not in ("sweep", "evaluate")}
    check_names(settings, [*declared, "sweep", "evaluate"])
    for name, value in settings.items():
        if isinstance(value, list):
            raise ConfigError(f"{name} has several values; write it under [sweep].")
    check(declared, settings)
    dataset = settings.pop("dataset", None)
    tables = document.get("sweep")
    tables = [tables] if isinstance(tables, dict) else tables
    if not tables or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError("There must be a table [sweep] of the swept settings, such as seed = [0, 1, 2].")
    blocks = tuple(map(_block, tables))
    count = sum(math.prod(map(len, block.values())) for block in blocks)
    if count > MOST_RUNS:
        raise ConfigError(f"That is {count} runs, more than {MOST_RUNS}: sweep over fewer values at a time.")
    if not all("ipc" in settings or "ipc" in block for block in blocks):
        raise ConfigError("ipc is missing: add the number of images per class, such as ipc = 1.")
    evaluate = document.get("evaluate", {})
    if not isinstance(evaluate, dict):
        raise ConfigError("evaluate must be a table: [evaluate], then for example networks = 3.")
    plan = SweepPlan(dataset, settings, blocks, *_evaluation(evaluate))
    for name, lacking in plan.ignored().items():
        if lacking in (plan.algorithms, plan.parametrizations):
            raise ConfigError(f"{name} is not a setting of {' or '.join(lacking)}.")
    return plan


def _block(block: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    declared = declared_settings()
    check_names(block, declared)
    if "dataset" in block:
        raise ConfigError("A sweep has one data set; write dataset above [sweep].")
    values = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in block.items()}
    for name, each in values.items():
        if not each:
            raise ConfigError(f"{name} has no values under [sweep]; give at least one.")
        for value in each:
            check(declared, {name: value})
    return values


def _evaluation(table: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the settings of the protocol, and whether there is a baseline."""
    declared = settings_of(EvaluationProtocol)
    check_names(table, [*declared, "baseline"], where=" under [evaluate]")
    settings = {name: value for name, value in table.items() if name != "baseline"}
    try:
        check(declared, settings)
    except ConfigError as error:
        raise ConfigError(f"Under [evaluate], {error}") from None
    baseline = table.get("baseline", True)
    if not isinstance(baseline, bool):
        raise ConfigError(f"Under [evaluate], baseline must be true or false, not {shorten(baseline)}.")
    return settings, baseline
