"""A run that diverges: what is no longer finite, and with what it may go on."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rcig_cli.distillation.step import Info
from rcig_cli.errors import NumericsError
from rcig_cli.presets.config import LEARNING_RATES, DistillConfig, flat
from rcig_cli.reporting.formatting import describe_divergence
from rcig_cli.runs.engine.state import RunState

# Which rate drives what failed first, where that isn't the images'.
_DRIVEN_BY = {"pool_models": "pool_rate", "labels": "label_rate", "temperature": "temperature_rate"}
_SUGGESTED = 0.3  # of the rate with which it diverged

# What a step computes from the state before it, whatever its rates.
_BEFORE_RATES = {"pool_models", "loss", "gradient"}


class Diverged(NumericsError):
    """Numbers of a run are no longer finite.

    Parameters
    ----------
    run
        Its name.
    record
        What its manifest keeps of it: see ``RunManifest.divergences``.
    """

    def __init__(self, run: str, record: Mapping[str, Any]) -> None:
        self.record = dict(record)
        super().__init__(f"{run} {describe_divergence(record)}.")


def not_finite(info: Info) -> list[str]:
    """Names of what an outer step says isn't finite, the first cause first."""
    return [name for name, finite in info.finite._asdict().items() if not finite]


def not_finite_in(state: RunState) -> list[str]:
    """Names of what isn't finite in a state of numpy arrays, of which a step sees but the models it draws."""
    parts = {"pool_models": state.pool, "optimizer": state.learner}
    return [
        name
        for name, part in parts.items()
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(part))
    ]


def comes_from(checkpoint: int, step: int, what: Sequence[str]) -> bool:
    """Whether a step failed by the state of the checkpoint before it alone, so that no rate helps."""
    return step == checkpoint + 1 and bool(_BEFORE_RATES & set(what))


def _rates(config: DistillConfig) -> dict[str, Any]:
    settings = flat(config)
    return {name: settings[name] for name in LEARNING_RATES}


def record_of(
    step: int, what: Sequence[str], checkpoint: int | None, config: DistillConfig
) -> dict[str, Any]:
    """Return what a manifest keeps: when, what, the checkpoint that stands, and the learning rates so far."""
    return {"step": step, "not_finite": list(what), "checkpoint": checkpoint, "rates": _rates(config)}


def is_stuck(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run has diverged twice from the same checkpoint, the second time with other rates."""
    if len(records) < 2:
        return False
    before, last = records[-2:]
    return before["checkpoint"] == last["checkpoint"] and before["rates"] != last["rates"]


def lower_rate(record: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, float]:
    """Suggest a setting to go on with.

    Parameters
    ----------
    record
        See `record_of`.
    usual
        The preset's settings.

    Returns
    -------
    dict
        The rate that is furthest above the preset's, as the preset has it; where none is above, the one that
        drives what failed first, lower.
    """
    above = {name: rate / usual[name] for name, rate in record["rates"].items()}
    name = max(above, key=lambda name: above[name])
    if above[name] > 1:
        return {name: usual[name]}
    name = _DRIVEN_BY.get(record["not_finite"][0], "image_rate")
    return {name: float(f"{_SUGGESTED * record['rates'][name]:.1g}")}
