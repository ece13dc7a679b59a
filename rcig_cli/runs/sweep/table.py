"""The results of a sweep: a row for each combination of settings and protocol, over all seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.paper import PaperResult
from rcig_cli.presets.set_size import SetSize
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol
from rcig_cli.runs.evaluate.results import Evaluation, Spread
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.store.documents import canonical
from rcig_cli.store.records import RunManifest
from rcig_cli.store.results import read_results


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes
    ----------
    prepared
        The data set.
    wanted
        What it is to be, as JSON values by name, by which it is found in the store: its whole configuration;
        or, if it is to end in a given time, the settings that were given, and the ``minutes``.
    config
        Its configuration.  With ``minutes`` it is that of a run that takes as long as it likes; the run's own
        is chosen when the run begins.
    protocols
        Those of its evaluations, for this configuration.
    for_gpus
        Whether it has the size of a preset for GPUs, without having been given it.
    """

    prepared: Prepared
    wanted: Mapping[str, Any]
    config: DistillConfig
    protocols: tuple[EvaluationProtocol, ...]
    for_gpus: bool = False

    @property
    def minutes(self) -> float | None:
        """The time in which it is to end, if one was given."""
        return self.wanted.get("minutes")

    @property
    def key(self) -> str:
        """Identifies it in a sweep."""
        return canonical(self.wanted)

    @property
    def group(self) -> str:
        """The same for all cells that differ in the seed only."""
        return canonical({**self.wanted, "seed": 0})


def keys_of(run: RunManifest) -> list[str]:
    """Return the keys of the cells that a run is right for."""
    keys = [canonical(run.config)]
    if run.budget is not None:
        keys.append(canonical({**run.budget.get("given", {}), "minutes": run.budget["minutes"]}))
    return keys


Timing = tuple[float | None, float]  # see `timing_of`


def timing_of(run_path: Path) -> Timing | None:
    """Read how long a run took, over all processes that distilled a part of it.

    Returns
    -------
    tuple or None
        Milliseconds of an outer step, compilation excluded, or None if it takes no steps, and seconds of the
        whole run, compilation included; None if they are unknown.
    """
    parts = read_results(run_path, "timings").found
    if not parts:
        return None
    timed = [(part["milliseconds_per_step"], part["steps"]) for part in parts if part["steps"]]
    total = sum(steps for _, steps in timed)
    milliseconds = sum(each * steps for each, steps in timed) / total if timed else None
    return milliseconds, sum(part["seconds"] for part in parts)


@dataclass(frozen=True)
class Outcome:
    """The result of one run by one protocol.

    If the run diverged, its status is "failed" and there is no evaluation.  The evaluation has a random
    subset unless another run of the sweep has the same one.

    Attributes
    ----------
    cell, run
        The run.
    label, protocol
        The protocol, and the description that distinguishes it from the others of the sweep.
    evaluation
        The result of the protocol.
    timing
        As `timing_of`.
    """

    cell: Cell
    run: RunManifest
    label: str
    protocol: EvaluationProtocol
    evaluation: Evaluation | None
    timing: Timing | None


@dataclass(frozen=True)
class Row:
    """The results for one combination of settings by one protocol, one for each seed.

    Attributes
    ----------
    settings
        The swept settings.
    config
        The configuration of the first run; those of the others differ in the seed only.
    outcomes
        One for each seed.
    """

    settings: dict[str, Any]
    config: DistillConfig
    outcomes: tuple[Outcome, ...]

    @property
    def label(self) -> str:
        """The description of its protocol."""
        return self.outcomes[0].label

    @property
    def minutes(self) -> float | None:
        """The time for which width, batch and steps were chosen, if one was given."""
        return self.outcomes[0].cell.minutes

    @property
    def paper(self) -> PaperResult | None:
        """The accuracy that the paper reports for this case, if there is one."""
        return next((each.evaluation.paper for each in self.outcomes if each.evaluation), None)

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
        times = [o.timing[0] for o in self.outcomes if o.timing and o.timing[0] is not None]
        return float(np.median(times)) if times else None

    @property
    def seconds(self) -> float | None:
        """Time of all outer steps of a run, without compilation."""
        return None if self.milliseconds is None else self.config.steps * self.milliseconds / 1000

    @property
    def seconds_in_all(self) -> float | None:
        """Total time of a run, with compilation and training of experts: the mean over the seeds."""
        times = [outcome.timing[1] for outcome in self.outcomes if outcome.timing]
        return float(np.mean(times)) if times else None

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "settings": self.settings,
            "protocol_label": self.label,
            "protocol": self.outcomes[0].protocol.to_json(),
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
            "paper": asdict(self.paper) if self.paper else None,
            "minutes": self.minutes,
            "steps": self.config.steps,
            "batch": self.config.batch,
            "width": self.config.width,
            "milliseconds_per_step": self.milliseconds,
            "seconds": self.seconds,
            "seconds_in_all": self.seconds_in_all,
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

    dataset: str
    classes: str | None
    ipc: int | tuple[int, ...]
    label: str
    protocol: EvaluationProtocol
    accuracy: Spread

    def to_json(self) -> dict[str, Any]:
        """Return the baseline as JSON values."""
        return {
            "dataset": self.dataset,
            "classes": self.classes,
            "ipc": self.ipc,
            "protocol_label": self.label,
            "protocol": self.protocol.to_json(),
            **self.accuracy.to_json(),
        }


@dataclass(frozen=True)
class Table:
    """All results of a sweep, and the settings (``axes``) in which its rows differ."""

    axes: tuple[str, ...]
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The descriptions of all protocols."""
        return tuple(dict.fromkeys(row.label for row in self.rows))

    def to_json(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        return {
            "axes": list(self.axes),
            "protocols": list(self.labels),
            "rows": [row.to_json() for row in self.rows],
            "random_subsets": [each.to_json() for each in self.baselines],
        }


def tabulate(axes: Sequence[str], outcomes: Sequence[Outcome]) -> Table:
    """Group the outcomes of a sweep's runs, which differ in ``axes``, by all but the seed."""
    axes = tuple(name for name in axes if name != "seed")
    groups: dict[tuple[str, DistillConfig, str], list[Outcome]] = {}
    baselines: dict[tuple[Any, ...], Baseline] = {}
    for outcome in outcomes:
        config, label, protocol = DistillConfig.from_json(outcome.run.config), outcome.label, outcome.protocol
        groups.setdefault((outcome.cell.group, config.override({"seed": 0}), label), []).append(outcome)
        random_subset = outcome.evaluation.random_subset if outcome.evaluation else None
        if random_subset is not None:
            images = config.dataset, config.classes, config.ipc
            baseline = Baseline(*images, label, protocol, random_subset)
            baselines.setdefault((*images, protocol), baseline)
    rows = (
        Row(swept(config, group[0].cell.minutes, axes), config, tuple(group))
        for (_, config, _), group in groups.items()
    )
    return Table(axes, tuple(rows), tuple(baselines.values()))


def swept(config: DistillConfig, minutes: float | None, axes: Sequence[str]) -> dict[str, Any]:
    """Return the settings of a run that are swept; None for those that its method doesn't have."""
    values = {**config.to_json(), "minutes": minutes}
    return {name: values.get(name) for name in axes}


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Return settings on one line, such as ``inner_steps 5, seed 0``."""
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
