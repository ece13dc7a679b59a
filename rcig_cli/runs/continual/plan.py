"""The settings of continual learning, and the division of the classes into tasks.  Needs no JAX.

They are the settings of a distillation and those of an evaluation, side by side.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import declared_settings
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol
from rcig_cli.settings import Setting, settings_of

TASKS = 5  # by default

_PANEL = "Evaluation"
_PREFIX = "evaluate_"  # of settings of an evaluation that a distillation has too
_FEWEST = 2  # classes of a task


def distillation_settings(*algorithms: Any) -> dict[str, Setting]:
    """Return the settings of the distillation of each task by name; see `declared_settings`."""
    own = ("dataset", "classes")
    return {name: each for name, each in declared_settings(*algorithms).items() if name not in own}


def evaluation_settings(*algorithms: Any) -> dict[str, Setting]:
    """Return the settings of the evaluation after each task, by the names that they have here.

    Those that the distillation has too begin with ``evaluate_``, also where only a method of the user's own
    among ``algorithms`` has them.  There is one seed for all, that of the distillation.  The learning rate
    can't be chosen.
    """
    others, found = distillation_settings(*algorithms), {}
    for name, each in settings_of(EvaluationProtocol).items():
        here = f"{_PREFIX}{name}" if name in others else name
        if name not in ("seed", "choose_lr"):
            found[here] = replace(each, name=here, help=each.help_with_default, panel=_PANEL)
    return found


def settings_of_continual(*algorithms: Any) -> dict[str, Setting]:
    """Return all settings of continual learning by name; see `declared_settings`."""
    return {**distillation_settings(*algorithms), **evaluation_settings(*algorithms)}


def split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the distillation, and those of the evaluation by their own names."""
    known = evaluation_settings(settings.get("algorithm"))
    of_evaluation = {n.removeprefix(_PREFIX): value for n, value in settings.items() if n in known}
    return {n: value for n, value in settings.items() if n not in known}, of_evaluation


def with_options_of_continual(text: str) -> str:
    """Return a message about an evaluation with the names that its options have in ``rcig continual``."""
    for name in evaluation_settings():
        if name.startswith(_PREFIX):
            text = re.sub(rf"--{name.removeprefix(_PREFIX)}\b", f"--{name.replace('_', '-')}", text)
    return text


def class_order(classes: int, seed: int) -> tuple[int, ...]:
    """Return the order in which the classes are learned: NumPy's permutation for a seed.

    Source: DM and FRePo divide CIFAR-100 in this way, with the seeds 0 to 4.
    """
    return tuple(np.random.RandomState(seed).permutation(classes).tolist())


def divide(order: tuple[int, ...], tasks: int, dataset: str) -> list[tuple[int, ...]]:
    """Divide the classes, in their order, into equal tasks.

    Raises
    ------
    ConfigError
        If that isn't possible with at least two classes each.
    """
    size, rest = divmod(len(order), tasks)
    if rest or size < _FEWEST:
        possible = [str(n) for n in range(1, len(order) // _FEWEST + 1) if len(order) % n == 0]
        raise ConfigError(
            f"The {len(order)} classes of {dataset} can't be divided into {tasks} equal tasks of at least "
            f"{_FEWEST} classes; possible numbers of tasks: {', '.join(possible)}."
        )
    return [order[start : start + size] for start in range(0, len(order), size)]
