"""A run that diverges: which values are no longer finite, and with which settings it can be resumed."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rcig_cli.distillation.step import Info
from rcig_cli.errors import NumericsError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.reporting.formatting import describe_divergence
from rcig_cli.runs.engine.base import RunState

# The learning rates that may drive the first value that failed, where that isn't the images'.
_DRIVEN_BY = {
    "pool_models": ("pool_lr", "network_lr"),
    "labels": ("label_lr",),
    "temperature": ("temperature_lr",),
}
_SUGGESTED = 0.3  # of the learning rate with which it diverged

# Values that a step computes from the state before it, on which its learning rates have no influence.
_BEFORE_UPDATE = {"pool_models", "loss", "gradient"}


class Diverged(NumericsError):
    """Numbers of a run are no longer finite.

    Attributes
    ----------
    run
        Its name.
    record
        The record in its manifest: see ``RunManifest.divergences``.
    lower
        A learning rate to resume with, by name; None if resuming can't help.
    """

    def __init__(self, run: str, record: Mapping[str, Any]) -> None:
        self.run, self.record = run, dict(record)
        self.lower: Mapping[str, float] | None = None
        super().__init__(f"{run} {describe_divergence(record)}.")


def not_finite(info: Info) -> list[str]:
    """Return the names of the values that an outer step reports as not finite, the first cause first."""
    return [name for name, finite in info.finite._asdict().items() if not finite]


def not_finite_in(state: RunState) -> list[str]:
    """Return the names of the parts of a state of numpy arrays, with all pool models, that are not finite."""
    parts = {"pool_models": state.pool, "optimizer": state.learner}
    return [
        name
        for name, part in parts.items()
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(part))
    ]


def comes_from(checkpoint: int, step: int, what: Sequence[str]) -> bool:
    """Whether a step failed because of the checkpoint before it, so that a lower learning rate can't help."""
    return step == checkpoint + 1 and bool(_BEFORE_UPDATE & set(what))


def record_of(
    step: int, what: Sequence[str], checkpoint: int | None, config: DistillConfig
) -> dict[str, Any]:
    """Return the record for the manifest: step, failed values, checkpoint to resume from, learning rates."""
    rates = config.learning_rates
    return {"step": step, "not_finite": list(what), "checkpoint": checkpoint, "rates": rates}


def is_stuck(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a run has diverged twice from the same checkpoint, the second time with other rates."""
    if len(records) < 2:
        return False
    before, last = records[-2:]
    return bool(before["checkpoint"] == last["checkpoint"] and before["rates"] != last["rates"])


def lower_rate(record: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, float] | None:
    """Suggest a learning rate to resume with.

    Parameters
    ----------
    record
        See `record_of`.
    usual
        The preset's settings.

    Returns
    -------
    dict or None
        If some rates are above the preset's, the preset's value of the one that is furthest above; otherwise
        a lower value of the rate that drives the first value that failed.  None if the method has no rates.
    """
    rates = {name: rate for name, rate in record["rates"].items() if rate > 0}
    if not rates:
        return None
    above = {name: rate / usual[name] for name, rate in rates.items() if usual[name] > 0}
    name = max(above, key=lambda name: above[name], default=None)
    if name is not None and above[name] > 1:
        return {name: usual[name]}
    drivers = (*_DRIVEN_BY.get(record["not_finite"][0], ()), "image_lr", *rates)
    name = next(name for name in drivers if name in rates)
    return {name: float(f"{_SUGGESTED * rates[name]:.1g}")}
