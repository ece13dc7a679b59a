"""What a sweep found: a row for each combination of settings, over all seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.evaluate.evaluate import Spread
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol
from rcig_cli.runs.sweep.sweep import Layout, Outcome


@dataclass(frozen=True)
class Row:
    """What was found for one combination of settings.

    Attributes
    ----------
    settings
        Those in which the rows differ.
    steps
        Outer steps.
    outcomes
        One for each seed.
    """

    settings: dict[str, Any]
    steps: int
    outcomes: tuple[Outcome, ...]

    @property
    def accuracy(self) -> Spread | None:
        """Of all networks of all seeds, as the paper counts them; None if every run diverged."""
        values = [v for outcome in self.outcomes if outcome.accuracy for v in outcome.accuracy.values]
        return Spread(tuple(values)) if values else None

    @property
    def diverged(self) -> list[str]:
        """The names of the runs that diverged."""
        return [outcome.run.name for outcome in self.outcomes if outcome.run.status == "failed"]

    @property
    def milliseconds(self) -> float | None:
        """Of an outer step, compilation excluded: the median over the seeds; None if it isn't known."""
        times = [outcome.timing.milliseconds for outcome in self.outcomes if outcome.timing]
        return float(np.median(times)) if times else None

    @property
    def seconds(self) -> float | None:
        """That all steps of a run take, compilation excluded."""
        return None if self.milliseconds is None else self.steps * self.milliseconds / 1000

    @property
    def seconds_in_all(self) -> float | None:
        """That a run took with everything, compilation included: the mean over the seeds."""
        times = [outcome.timing.seconds for outcome in self.outcomes if outcome.timing]
        return float(np.mean(times)) if times else None

    def to_json(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "settings": self.settings,
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            "milliseconds_per_step": self.milliseconds,
            "seconds": self.seconds,
            "seconds_in_all": self.seconds_in_all,
            "steps": self.steps,
            "runs": [outcome.run.name for outcome in self.outcomes],
            "seeds": [outcome.cell.config.seed for outcome in self.outcomes],
            "run_accuracies": [o.accuracy.mean if o.accuracy else None for o in self.outcomes],
            "diverged": self.diverged,
        }


@dataclass(frozen=True)
class Baseline:
    """Random real images, as many as were distilled, under the same protocol.

    Attributes
    ----------
    ipc
        Images per class.
    protocol
        How they were judged.
    accuracy
        Of the networks trained on them.
    """

    ipc: int
    protocol: EvaluationProtocol
    accuracy: Spread


@dataclass(frozen=True)
class Table:
    """All that a sweep found.

    Attributes
    ----------
    axes
        The settings in which the rows differ, in the order they are written.
    rows
        In the order of the sweep.
    baselines
        One for each number of images and protocol.
    """

    axes: tuple[str, ...]
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]

    def to_json(self) -> dict[str, Any]:
        """The table as JSON values."""
        return {
            "axes": list(self.axes),
            "rows": [row.to_json() for row in self.rows],
            "random_subsets": [
                {"ipc": each.ipc, "width": each.protocol.width, **each.accuracy.to_json()}
                for each in self.baselines
            ],
        }


def tabulate(layout: Layout, outcomes: Sequence[Outcome]) -> Table:
    """Gather the outcomes of a sweep by settings, the seed aside."""
    axes = tuple(name for name in layout.axes if name != "seed")
    groups: dict[DistillConfig, list[Outcome]] = {}
    baselines: dict[tuple[int, EvaluationProtocol], Baseline] = {}
    for outcome in outcomes:
        config, protocol = outcome.cell.config, outcome.cell.protocol
        groups.setdefault(replace(config, seed=0), []).append(outcome)
        if outcome.random_subset is not None:
            key = config.ipc, protocol
            baselines.setdefault(key, Baseline(config.ipc, protocol, outcome.random_subset))
    rows = (
        Row({name: config.to_json()[name] for name in axes}, config.steps, tuple(group))
        for config, group in groups.items()
    )
    return Table(axes, tuple(rows), tuple(baselines.values()))
