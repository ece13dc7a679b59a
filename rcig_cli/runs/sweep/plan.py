"""Reading and checking the TOML file of a sweep, and the combinations of its settings.  Needs no JAX.

::

    dataset = "digits"             settings that all runs share
    ipc = 1
    minutes = 10                   the time in which a run is to end, if it has no steps given

    [[sweep]]                      each block: every combination of its lists
    inner_steps = [2, 5, 10]
    seed = [0, 1]

    [[sweep]]                      the sweep has the combinations of all blocks, each once
    hessian_steps = [2, 5, 10]
    steps = 300                    what a block gives is used instead of shared steps or minutes

    [[evaluate]]                   how each run is evaluated, once by each protocol
    networks = 3

    [[evaluate]]
    protocol = "dc-bench"

Data sets may be swept too: ``dataset = ["mnist", "cifar10"]``.  Methods and parametrizations differ in their
settings.  A shared setting is left out of the runs of those that don't have it; a setting in a block is
refused with them.  Methods that pick real images take no steps, so their runs have no ``steps`` and
no ``minutes``.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.distillation.methods import find_method
from rcig_cli.errors import ConfigError, shorten
from rcig_cli.presets.config import (
    DEFAULT_ALGORITHM,
    DEFAULT_PARAMETRIZATION,
    declared_settings,
    parametrization_settings,
    settings_for,
)
from rcig_cli.runs.evaluate.protocol import RCIG, EvaluationProtocol
from rcig_cli.settings import Setting, check, check_names, read_toml, record, setting, settings_of

MOST_RUNS = 1000

# Of these one is given, and one in a block is used instead of the other shared one.
_STEPS, _MINUTES = "steps", "minutes"
_INSTEAD_OF = {_STEPS: _MINUTES, _MINUTES: _STEPS}

_NAMED = ("protocol", "augment")  # settings of a protocol that every description of it has


@record
class _TimeSettings:
    """What a sweep has besides the settings of a distillation."""

    minutes: float = setting(..., "Minutes in which each run is to end.", gt=0)


@dataclass(frozen=True)
class PlannedEvaluation:
    """How each run is evaluated, as a table ``[[evaluate]]`` describes it.

    Attributes
    ----------
    settings
        Settings of `EvaluationProtocol` that differ from the defaults, by name.
    baseline
        Whether random subsets are evaluated as well.
    label
        A short description that distinguishes it from the others, such as ``"dc-bench, augmented"``.
    """

    settings: Mapping[str, Any]
    baseline: bool
    label: str


@dataclass(frozen=True)
class SweepPlan:
    """A sweep as its file describes it.

    Attributes
    ----------
    settings
        The settings that all runs share, by name.
    blocks
        The values of each swept setting, by name, in each block.
    evaluations
        How each run is evaluated.
    """

    settings: Mapping[str, Any]
    blocks: tuple[Mapping[str, tuple[Any, ...]], ...]
    evaluations: tuple[PlannedEvaluation, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of all swept settings, in the order of the file."""
        return tuple(dict.fromkeys(name for block in self.blocks for name in block))

    @property
    def datasets(self) -> tuple[str | None, ...]:
        """The data sets of all runs; None stands for the only prepared one."""
        return self._values_of("dataset", None)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms of all runs."""
        return self._values_of("algorithm", DEFAULT_ALGORITHM)

    @property
    def parametrizations(self) -> tuple[str, ...]:
        """The parametrizations of all runs."""
        return self._values_of("parametrization", DEFAULT_PARAMETRIZATION)

    def _values_of(self, name: str, default: Any) -> tuple[Any, ...]:
        shared = self.settings.get(name, default)
        return tuple(dict.fromkeys(value for block in self.blocks for value in block.get(name, (shared,))))

    def ignored(self) -> dict[str, tuple[str, ...]]:
        """Return the shared settings that some algorithms or parametrizations don't have, with these."""
        own = parametrization_settings()
        lacking = {
            name: tuple(p for p in self.parametrizations if name not in settings_for(parametrization=p))
            if name in own
            else tuple(a for a in self.algorithms if name not in _settings_for(a))
            for name in self.settings
        }
        return {name: users for name, users in lacking.items() if users}

    def combinations(self) -> list[dict[str, Any]]:
        """Return the settings of each run, block by block, the last setting of a block varying fastest."""
        found = []
        for block in self.blocks:
            shared = {n: v for n, v in self.settings.items() if _INSTEAD_OF.get(n) not in block}
            for values in itertools.product(*block.values()):
                settings = {**shared, **dict(zip(block, values, strict=True))}
                own = _settings_for(
                    settings.get("algorithm", DEFAULT_ALGORITHM),
                    settings.get("parametrization", DEFAULT_PARAMETRIZATION),
                )
                kept = {n: v for n, v in settings.items() if n in own or (n in block and n != _MINUTES)}
                found.append(kept)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "settings": dict(self.settings),
            "sweep": [{name: list(values) for name, values in block.items()} for block in self.blocks],
            "evaluate": [{**each.settings, "baseline": each.baseline} for each in self.evaluations],
        }


def swept_settings(*algorithms: Any) -> dict[str, Setting]:
    """Return every setting that the file of a sweep may have, by name; see `declared_settings`."""
    return {**declared_settings(*algorithms), **settings_of(_TimeSettings)}


def _settings_for(algorithm: str, parametrization: str = DEFAULT_PARAMETRIZATION) -> set[str]:
    """Return the names of the settings that the runs of a method have in a sweep."""
    names = {*settings_for(algorithm, parametrization), _MINUTES}
    return names - {_STEPS, _MINUTES} if find_method(algorithm).pick else names


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
    declared = swept_settings(*_algorithms(document))
    settings = {name: value for name, value in document.items() if name not in ("sweep", "evaluate")}
    check_names(settings, [*declared, "sweep", "evaluate"])
    for name, value in settings.items():
        if isinstance(value, list):
            advice = "write it under [sweep]"
            if name == "ipc":
                advice += ", and as [[...]] if it is a number for each class"
            raise ConfigError(f"{name} has several values; {advice}.")
    check(declared, settings)
    tables = document.get("sweep")
    tables = [tables] if isinstance(tables, dict) else tables
    if not tables or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError("There must be a table [sweep] of the swept settings, such as seed = [0, 1, 2].")
    blocks = tuple(_block(table, declared) for table in tables)
    if any({_STEPS, _MINUTES} <= each.keys() for each in (settings, *blocks)):
        raise ConfigError(
            "steps and minutes contradict each other, since minutes chooses the steps: give one."
        )
    count = sum(math.prod(map(len, block.values())) for block in blocks)
    if count > MOST_RUNS:
        raise ConfigError(f"That is {count} runs, more than {MOST_RUNS}: sweep over fewer values at a time.")
    if not all("ipc" in settings or "ipc" in block for block in blocks):
        raise ConfigError("ipc is missing: add the number of images per class, such as ipc = 1.")
    plan = SweepPlan(settings, blocks, _evaluations(document.get("evaluate", {})))
    for name, lacking in plan.ignored().items():
        if lacking in (plan.algorithms, plan.parametrizations):
            raise ConfigError(f"{name} is not a setting of {' or '.join(lacking)}.")
    return plan


def _algorithms(document: Mapping[str, Any]) -> list[Any]:
    """Return the algorithms that a sweep's file names, before it is checked."""
    tables = document.get("sweep")
    found: list[Any] = []
    for table in (document, *(tables if isinstance(tables, list) else [tables])):
        value = table.get("algorithm") if isinstance(table, Mapping) else None
        found += value if isinstance(value, list) else [value]
    return found


def _block(block: Mapping[str, Any], declared: Mapping[str, Setting]) -> dict[str, tuple[Any, ...]]:
    check_names(block, declared)
    values = {name: tuple(value) if isinstance(value, list) else (value,) for name, value in block.items()}
    for name, each in values.items():
        if not each:
            raise ConfigError(f"{name} has no values under [sweep]; give at least one.")
        for value in each:
            check(declared, {name: value})
    return values


def _evaluations(tables: object) -> tuple[PlannedEvaluation, ...]:
    """Check the table, or the tables, of the settings of evaluation."""
    tables = [tables] if isinstance(tables, dict) else tables
    if not tables or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(
            "evaluate must be a table: [evaluate], then for example networks = 3. Several protocols are "
            "several tables [[evaluate]]."
        )
    found = [_evaluation(table) for table in tables]
    every = [settings for settings, _ in found]
    if any(settings in every[:number] for number, settings in enumerate(every)):
        raise ConfigError("Two of the tables [[evaluate]] have the same settings.")
    return tuple(PlannedEvaluation(settings, base, _label(settings, every)) for settings, base in found)


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


def _label(settings: Mapping[str, Any], every: list[dict[str, Any]]) -> str:
    """Describe a protocol by its name and augmentation, and by what distinguishes it from others of these."""
    name = _name(settings)
    alike = [each for each in every if _name(each) == name]
    others = [
        f"{key} {value}"
        for key, value in settings.items()
        if key not in _NAMED and any(value != each.get(key) for each in alike)
    ]
    return ", ".join([name, *others])


def _name(settings: Mapping[str, Any]) -> str:
    protocol: str = settings.get("protocol", RCIG)
    return f"{protocol}, augmented" if settings.get("augment") else protocol
