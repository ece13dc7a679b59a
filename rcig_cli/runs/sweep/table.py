"""The results of a sweep: a row for each combination of settings, over all seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.set_size import SetSize
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol
from rcig_cli.runs.evaluate.results import Evaluation, Spread
from rcig_cli.store.records import RunManifest
from rcig_cli.store.results import read_results


@dataclass(frozen=True)
class Cell:
    """The configuration of one run of a sweep, and the protocol of its evaluation."""

    config: DistillConfig
    protocol: EvaluationProtocol


def timing_of(run_path: Path) -> tuple[float, float] | None:
    """Read how long a run took, over all processes that distilled a part of it.

    Returns
    -------
    tuple or None
        Milliseconds of an outer step, compilation excluded, and seconds of the whole run, compilation
        included; None if they are unknown.
    """
    parts = read_results(run_path, "timings").found
    if not parts:
        return None
    milliseconds = np.average(
        [p["milliseconds_per_step"] for p in parts], weights=[p["steps"] for p in parts]
    )
    return float(milliseconds), sum(part["seconds"] for part in parts)


@dataclass(frozen=True)
class Outcome:
    """The result of one run; see also `timing_of`.

    If the run diverged, its status is "failed" and there is no evaluation.  The evaluation has a random
    subset unless another run of the sweep has the same one.
    """

    cell: Cell
    run: RunManifest
    evaluation: Evaluation | None
    timing: tuple[float, float] | None


@dataclass(frozen=True)
class Row:
    """The results for one combination of settings, one for each seed."""

    settings: dict[str, Any]
    steps: int
    outcomes: tuple[Outcome, ...]

    @property
    def accuracy(self) -> Spread | None:
        """Over all networks of all seeds, as in the paper; None if every run diverged."""
        evaluations = [outcome.evaluation for outcome in self.outcomes if outcome.evaluation]
        values = [value for each in evaluations for value in each.accuracy.values]
        return Spread(tuple(values)) if values else None

    @property
    def size(self) -> SetSize | None:
        """What each of its sets stores; None if every run diverged."""
        return next((outcome.evaluation.size for outcome in self.outcomes if outcome.evaluation), None)

    @property
    def diverged(self) -> list[str]:
        """The names of the runs that diverged."""
        return [outcome.run.name for outcome in self.outcomes if outcome.run.status == "failed"]

    @property
    def milliseconds(self) -> float | None:
        """Time of an outer step without compilation: the median over the seeds; None if unknown."""
        times = [outcome.timing[0] for outcome in self.outcomes if outcome.timing]
        return float(np.median(times)) if times else None

    @property
    def seconds(self) -> float | None:
        """Time of all outer steps of a run, without compilation."""
        return None if self.milliseconds is None else self.steps * self.milliseconds / 1000

    @property
    def seconds_in_all(self) -> float | None:
        """Total time of a run, with compilation: the mean over the seeds."""
        times = [outcome.timing[1] for outcome in self.outcomes if outcome.timing]
        return float(np.mean(times)) if times else None

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "settings": self.settings,
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            "milliseconds_per_step": self.milliseconds,
            "seconds": self.seconds,
            "seconds_in_all": self.seconds_in_all,
            "steps": self.steps,
            "runs": [outcome.run.name for outcome in self.outcomes],
            "seeds": [outcome.cell.config.seed for outcome in self.outcomes],
            "run_accuracies": [o.evaluation.accuracy.mean if o.evaluation else None for o in self.outcomes],
            "diverged": self.diverged,
            **(self.size.to_json() if self.size else {}),
        }


@dataclass(frozen=True)
class Baseline:
    """Accuracy of networks trained on random real images, ``ipc`` of each class, by a protocol.

    These images have the bytes of the distilled sets of this ``ipc``.
    """

    ipc: int | tuple[int, ...]
    protocol: EvaluationProtocol
    accuracy: Spread


@dataclass(frozen=True)
class Table:
    """All results of a sweep, and the settings (``axes``) in which its rows differ."""

    axes: tuple[str, ...]
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return {
            "axes": list(self.axes),
            "rows": [row.to_json() for row in self.rows],
            "random_subsets": [
                {
                    **{"ipc": each.ipc, "width": each.protocol.width, "steps": each.protocol.steps},
                    **each.accuracy.to_json(),
                }
                for each in self.baselines
            ],
        }


def tabulate(axes: Sequence[str], outcomes: Sequence[Outcome]) -> Table:
    """Group the outcomes of a sweep's runs, which differ in ``axes``, by all settings except the seed."""
    axes = tuple(name for name in axes if name != "seed")
    groups: dict[DistillConfig, list[Outcome]] = {}
    baselines: dict[tuple[int | tuple[int, ...], EvaluationProtocol], Baseline] = {}
    for outcome in outcomes:
        config, protocol = outcome.cell.config, outcome.cell.protocol
        groups.setdefault(config.override({"seed": 0}), []).append(outcome)
        random_subset = outcome.evaluation.random_subset if outcome.evaluation else None
        if random_subset is not None:
            baselines.setdefault((config.ipc, protocol), Baseline(config.ipc, protocol, random_subset))
    rows = (Row(swept(config, axes), config.steps, tuple(group)) for config, group in groups.items())
    return Table(axes, tuple(rows), tuple(baselines.values()))


def swept(config: DistillConfig, axes: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a configuration that are swept; None for those that its method doesn't have."""
    values = config.to_json()
    return {name: values.get(name) for name in axes}


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return settings on one line, such as ``inner_steps 5, seed 0``."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
