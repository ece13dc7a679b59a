"""A sweep: many runs, each distilled, and evaluated by each protocol, in turn.

The runs hold all results, so a sweep that was stopped is resumed from them.  Finished runs of the store that
would give the same result are used instead of new ones.

The settings of a run that is to end in a given time are chosen when it begins, and recorded in it with those
that were given, by which it is found again.  The runs of other seeds take the same settings.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rcig_cli.errors import ConfigError, Interrupted, NotFound, NumericsError, is_out_of_memory
from rcig_cli.presets.config import DEFAULT_ALGORITHM, DEFAULT_PARAMETRIZATION, DistillConfig, is_for_gpus
from rcig_cli.reporting.formatting import count_of
from rcig_cli.runs.configuration import normalized, resolved
from rcig_cli.runs.distill import distill
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.group import RunGroup, find_newest, find_or_create, usable_runs
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.distill.time_budget import check_method, choose_settings
from rcig_cli.runs.engine.environment import describe_devices
from rcig_cli.runs.engine.mesh import choose_devices
from rcig_cli.runs.evaluate.evaluate import evaluate
from rcig_cli.runs.evaluate.measurement import check_test_images, protocol_network
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol, evaluation_protocol
from rcig_cli.runs.evaluate.results import Evaluation
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.runs.sweep.plan import SweepPlan
from rcig_cli.runs.sweep.plots import write_results
from rcig_cli.runs.sweep.table import (
    Cell,
    Outcome,
    Table,
    describe_settings,
    keys_of,
    swept,
    tabulate,
    timing_of,
)
from rcig_cli.store.locks import RunLock
from rcig_cli.store.records import GroupManifest, Parent, RunManifest
from rcig_cli.store.results import read_results
from rcig_cli.store.store import Store


@dataclass(frozen=True)
class SweepResult:
    """The results of a sweep.

    Attributes
    ----------
    name
        Its name in the store; None if only finished runs were wanted, and no sweep of these runs was started.
    dataset
        The names of its data sets.
    table
        The results.
    figures
        The PNG files of its plots; none where only finished runs were wanted.
    left_out
        The runs that are missing from the table: there was not enough time or memory for them, or only
        finished ones were wanted.
    """

    name: str | None
    dataset: str
    table: Table
    figures: tuple[Path, ...]
    left_out: tuple[str, ...]


def sweep(
    store: Store,
    plan: SweepPlan,
    *,
    report: Report,
    new: bool = False,
    part: tuple[int, int] | None = None,
    checkpoint_every: int | None = None,
) -> SweepResult:
    """Distil and evaluate every combination of a plan, or resume the newest sweep of this plan.

    A part is a sweep of its own.  The whole sweep takes the runs of its parts, wherever they were made.

    Parameters
    ----------
    store
        Where the data sets and runs are.
    plan
        The settings.
    report
        Receives messages and progress.
    new
        Whether to start a new sweep that doesn't reuse existing runs.
    part
        Which part of the runs to make, from 1, and of how many parts; None for all.
    checkpoint_every
        Steps between checkpoints of a run; None for every 10 minutes.

    Raises
    ------
    ConfigError
        If a combination of settings is not possible, or there are fewer runs than parts.  All are checked
        before the first run.
    NotFound
        If a data set is not prepared.
    Locked
        If another process is running this sweep, or one of its runs.
    Interrupted, KeyboardInterrupt
        If a signal stopped it.  Finished runs and evaluations are kept, and the current run has a checkpoint.
    """
    cells, axes = cells_of(store, plan, part, report)
    for setting, lacking in plan.ignored().items():
        report.note(f"{setting} is not a setting of {', '.join(lacking)}, whose runs ignore it.")
    manifest, lock = _find_or_create(store, plan, cells, new=new)
    with lock:
        one = _Sweep(store, manifest, plan, cells, RunContext(report, checkpoint_every))
        is_finished = manifest.status == "finished" and one.group.names.keys() >= {cell.key for cell in cells}
        state = "is finished" if is_finished else f"has {count_of(len(cells), 'run')}"
        report.note(f"{manifest.name} of {manifest.dataset} {state}.")
        if not is_finished:
            one.group.tell_of_runs_elsewhere(report)
            _tell_of_device(cells, report)
        table = tabulate(axes, one.run(axes))
        figures = write_results(store, manifest.name, table, complete=not one.left_out)
        return SweepResult(manifest.name, manifest.dataset, table, figures, tuple(one.left_out))


def finished(
    store: Store, plan: SweepPlan, *, report: Report, part: tuple[int, int] | None = None
) -> SweepResult:
    """Return the results of the runs of a sweep that are finished and evaluated; nothing is run or written.

    Parameters
    ----------
    store, plan, report, part
        As for `sweep`.

    Raises
    ------
    ConfigError
        As `sweep`.
    NotFound
        If a data set is not prepared, or no run is finished and evaluated.
    """
    cells, axes = cells_of(store, plan, part, report)
    manifest, parents = find_sweep(store, cells), _parents(cells)
    groups = sweeps_of(store, plan) + ([manifest.as_parent] if manifest else [])
    runs = store.runs().found
    usable = usable_runs(runs, "sweep", parents.values(), groups, finished=True)
    # A sweep may have taken runs that would not be taken here, on another machine.
    usable += [run for run in runs if manifest and run.name in manifest.runs]
    by_key = {key: run for run in usable for key in keys_of(run)}
    outcomes, left_out = list[Outcome](), list[str]()
    for number, cell in enumerate(cells, 1):
        found = _stored_outcomes(store, cell, by_key.get(cell.key), plan)
        outcomes += found
        if not found:
            left_out.append(_label(number, cells, axes))
    if not outcomes:
        raise NotFound("No run of this sweep is finished and evaluated yet.")
    names = ", ".join(parent["name"] for parent in parents.values())
    return SweepResult(
        manifest.name if manifest else None, names, tabulate(axes, outcomes), (), tuple(left_out)
    )


def _stored_outcomes(store: Store, cell: Cell, run: RunManifest | None, plan: SweepPlan) -> list[Outcome]:
    """Return the outcome of a run by each protocol, if it diverged or is finished and evaluated by all."""
    if run is None or run.status not in ("finished", "failed"):
        return []
    config, timing = DistillConfig.from_stored(run.config), timing_of(store.run_path(run.name))
    outcomes = []
    for planned, protocol in zip(plan.evaluations, _protocols(cell.prepared, config, plan), strict=True):
        records = _stored_evaluations(store, run, protocol)
        if run.status == "finished" and not records:
            return []
        evaluation = Evaluation.from_json(run.name, records[0]) if run.status == "finished" else None
        if evaluation and not planned.baseline:
            evaluation = replace(evaluation, random_subset=None)
        outcomes.append(Outcome(cell, run, planned.label, protocol, evaluation, timing))
    return outcomes


def _stored_evaluations(store: Store, run: RunManifest, protocol: EvaluationProtocol) -> list[dict[str, Any]]:
    """Return the stored evaluations of a run by a protocol, those with a random subset first."""
    records = read_results(store.run_path(run.name), "evaluations").found
    wanted = protocol.to_json(), protocol.extensions
    same = [each for each in records if (each["protocol"], each.get("extensions", {})) == wanted]
    return sorted(same, key=lambda record: record["random_subset"] is None)


def _label(number: int, cells: Sequence[Cell], axes: Sequence[str]) -> str:
    """Describe a run of a sweep, the first of which has the number 1."""
    cell = cells[number - 1]
    where = describe_settings(swept(cell.config, cell.minutes, axes)) or "a single run"
    return f"run {number} of {len(cells)}, {where}"


def _tell_of_device(cells: Sequence[Cell], report: Report) -> None:
    """Say on what the runs are computed, and warn of runs that are for a GPU on a CPU."""
    report.note(f"It is computed on {describe_devices()}.")
    large = sum(cell.for_gpus for cell in cells)
    if large and choose_devices(None)[0].platform == "cpu":
        report.warn(
            f"On a CPU, {large} of the {count_of(len(cells), 'run')} have the steps and width of presets for "
            "GPUs and take very long; --dry-run prints the time of each. Give steps, width and batch in the "
            "file, or minutes."
        )


def cells_of(
    store: Store, plan: SweepPlan, part: tuple[int, int] | None, report: Report
) -> tuple[list[Cell], tuple[str, ...]]:
    """Return the runs of a sweep, or of a part of it, and the settings in which those of the sweep differ.

    Raises
    ------
    ConfigError, NotFound
        As `sweep`.
    """
    prepared = {name: distill.choose_dataset(store, name, report) for name in plan.datasets}
    cells = _cells(prepared, plan)
    chosen = cells if part is None else _part(cells, *part)
    return chosen, _axes(plan, cells)


def _cells(prepared: Mapping[str | None, Prepared], plan: SweepPlan) -> list[Cell]:
    """Resolve the settings of every run, each once, in the order of the plan."""
    cells: dict[str, Cell] = {}
    for settings in plan.combinations():
        try:
            cell = _cell(prepared[settings.get("dataset")], settings, plan)
        except ConfigError as error:
            where = describe_settings({name: settings[name] for name in plan.axes if name in settings})
            raise ConfigError(f"With {where}: {error}" if where else str(error)) from None
        cells.setdefault(cell.key, cell)
    return list(cells.values())


def _cell(prepared: Prepared, settings: Mapping[str, Any], plan: SweepPlan) -> Cell:
    """Resolve the settings of a run.

    Raises
    ------
    ConfigError
        If they are not possible.
    """
    prepared = prepared.of_classes(settings.get("classes"))
    usual = {"algorithm": DEFAULT_ALGORITHM, "parametrization": DEFAULT_PARAMETRIZATION, "seed": 0}
    given = {**usual, **normalized(prepared, settings), "dataset": prepared.name}
    minutes = given.pop("minutes", None)
    config = resolved(prepared, given)
    distill.check_possible(prepared, config)
    wanted = config.to_json()
    if minutes is not None:
        check_method(config)
        as_json = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        wanted = {**as_json, "minutes": float(minutes)}
    for_gpus = minutes is None and not config.algorithm_record.pick and is_for_gpus(config, given)
    return Cell(prepared, wanted, config, _protocols(prepared, config, plan), for_gpus)


def _part(cells: Sequence[Cell], number: int, parts: int) -> list[Cell]:
    """Return a part of the runs, every ``parts``-th of them.

    Runs with ``minutes`` that differ in the seed only stay together, since they have the same settings.

    Raises
    ------
    ConfigError
        If there is no such part.
    """
    if not 1 <= number <= parts:
        raise ConfigError(f"There is no part {number} of {parts}: parts are counted from 1.")
    units = list(dict.fromkeys(cell.group if cell.minutes else cell.key for cell in cells))
    if parts > len(units):
        raise ConfigError(
            f"This sweep can be divided into at most {count_of(len(units), 'part')}, not {parts}."
        )
    chosen = set(units[number - 1 :: parts])
    return [cell for cell in cells if (cell.group if cell.minutes else cell.key) in chosen]


def _protocols(prepared: Prepared, config: DistillConfig, plan: SweepPlan) -> tuple[EvaluationProtocol, ...]:
    """Return the protocols by which a run is evaluated.

    Raises
    ------
    ConfigError
        As `protocol_network` and `check_test_images`.
    """
    check_test_images(prepared)
    images = sum(config.decoded_per_class(prepared.classes))
    protocols = [evaluation_protocol(config, images, **each.settings) for each in plan.evaluations]
    for protocol in protocols:
        protocol_network(prepared, protocol)
    return tuple(protocols)


def _axes(plan: SweepPlan, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the swept settings in which the runs differ, among those that have them.

    In a sweep with ``minutes`` the number of steps is not one: it is a result.
    """
    timed = any(cell.minutes for cell in cells)
    known = [{**cell.config.to_json(), **cell.wanted} for cell in cells]
    return tuple(
        name
        for name in plan.axes
        if len({repr(values[name]) for values in known if name in values}) > 1
        and not (timed and name == "steps")
    )


def _find_or_create(
    store: Store, plan: SweepPlan, cells: Sequence[Cell], *, new: bool
) -> tuple[GroupManifest, RunLock]:
    """Return the newest sweep of the same runs, or a new one, locked."""
    identity = _identity(cells)
    document = {**plan.to_json(), **identity, "new": new}
    return find_or_create(store, "sweep", document, _parents(cells), compared=identity, new=new)


def find_sweep(store: Store, cells: Sequence[Cell]) -> GroupManifest | None:
    """Return the newest sweep of the same runs, which `sweep` would resume, or None."""
    identity = _identity(cells)
    return find_newest(store, "sweep", identity, _parents(cells), compared=identity)


def _identity(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return what is the same in the configurations of two sweeps of the same runs."""
    return {
        "configurations": [dict(cell.wanted) for cell in cells],
        "protocols": [[each.to_json() for each in cell.protocols] for cell in cells],
    }


def _parents(cells: Sequence[Cell]) -> dict[str, Parent]:
    return {cell.prepared.name: cell.prepared.manifest.as_parent for cell in cells}


def sweeps_of(store: Store, plan: SweepPlan) -> list[Parent]:
    """Return the sweeps of a plan and of its parts, as parents of their runs."""
    document = plan.to_json()
    return [
        each.as_parent
        for each in store.groups("sweep").found
        if all(each.config[name] == value for name, value in document.items())
    ]


class _Sweep:
    """A sweep in progress; the caller holds its lock."""

    def __init__(
        self,
        store: Store,
        manifest: GroupManifest,
        plan: SweepPlan,
        cells: Sequence[Cell],
        context: RunContext,
    ) -> None:
        self.store, self.plan, self.cells = store, plan, cells
        self.context, self.report = context, context.report
        keys = [cell.key for cell in cells]
        new = manifest.config["new"]
        relatives = [] if new else sweeps_of(store, plan)
        self.group = RunGroup(store, manifest, keys, keys_of, relatives=relatives, new=new)
        self.baselines: set[tuple[Any, ...]] = set()  # whose random subsets are evaluated
        self.left_out: list[str] = []

    def run(self, axes: Sequence[str]) -> list[Outcome]:
        """Distil and evaluate the missing runs; return all outcomes, also of diverged runs.

        A run for which there is not enough time or memory is left out, with a warning.
        """
        self.group.record(status="running", files={})
        outcomes = list[Outcome]()
        try:
            for number, cell in enumerate(self.cells, 1):
                label = _label(number, self.cells, axes)
                try:
                    outcomes += self._run_cell(cell, label)
                except Exception as error:
                    too_large = is_out_of_memory(error)
                    is_last = number == len(self.cells) and not outcomes
                    if is_last or not (too_large or isinstance(error, ConfigError)):
                        raise
                    reason = "There was not enough memory for it." if too_large else error
                    self.report.warn(f"{label} is left out. {reason}")
                    self.left_out.append(label)
        except (Interrupted, KeyboardInterrupt):
            self.group.record(status="interrupted")
            raise
        return outcomes

    def _run_cell(self, cell: Cell, label: str) -> list[Outcome]:
        """Distil a run, unless it is finished, and return its outcome by each protocol."""
        run, lock = self._open_or_create(cell, label)
        path = self.store.run_path(run.name)
        with lock:
            run = self.store.run(run.name)
            if run.status in ("running", "interrupted"):
                self.report.note(f"{run.name}: {label}.")
                try:
                    run = distill.execute(path, run, cell.prepared, self.context)
                except NumericsError as error:
                    self.report.warn(str(error))
                    run = self.store.run(run.name)
            return list(self._outcomes(cell, run))

    def _open_or_create(self, cell: Cell, label: str) -> tuple[RunManifest, RunLock]:
        def create() -> tuple[RunManifest, RunLock]:
            config, budget = (cell.config, None) if cell.minutes is None else self._chosen(cell, label)
            return distill.create_run(self.store, cell.prepared, config, self.group.manifest, budget=budget)

        return self.group.open_or_create(cell.key, create)

    def _chosen(self, cell: Cell, label: str) -> tuple[DistillConfig, dict[str, Any]]:
        """Choose settings for a run that is to end in a given time; other seeds have the same.

        Returns the configuration, and the record for the run's manifest.
        """
        given = {name: value for name, value in cell.wanted.items() if name != "minutes"}
        for other in self.cells:
            if other.group == cell.group and other.key in self.group.names:
                run = self.store.run(self.group.names[other.key])
                assert run.budget is not None
                config = DistillConfig.from_json(run.config).override({"seed": cell.config.seed})
                return config, {**run.budget, "given": given}
        assert cell.minutes is not None
        self.report.note(f"Choosing the settings of {label}.")
        return choose_settings(cell.prepared, given, cell.minutes, self.context)

    def _outcomes(self, cell: Cell, run: RunManifest) -> Iterator[Outcome]:
        """Evaluate a run by each protocol, unless it diverged or the result is stored."""
        config, timing = DistillConfig.from_json(run.config), timing_of(self.store.run_path(run.name))
        protocols = _protocols(cell.prepared, config, self.plan)
        for planned, protocol in zip(self.plan.evaluations, protocols, strict=True):
            evaluation = None
            if run.status != "failed":
                subset = config.dataset, config.classes, config.ipc, protocol
                baseline = planned.baseline and subset not in self.baselines
                evaluation = self._evaluate(run, protocol, baseline=baseline)
                self.baselines.add(subset)
                if not planned.baseline:  # though a stored evaluation may have one
                    evaluation = replace(evaluation, random_subset=None)
            yield Outcome(cell, run, planned.label, protocol, evaluation, timing)

    def _evaluate(self, run: RunManifest, protocol: EvaluationProtocol, *, baseline: bool) -> Evaluation:
        """Return a stored evaluation by this protocol, or evaluate the run."""
        for record in _stored_evaluations(self.store, run, protocol):
            if record["random_subset"] or not baseline:
                return Evaluation.from_json(run.name, record)
        distilled = open_distilled(self.store, run.name)
        return evaluate(distilled, protocol, report=self.report, baseline=baseline)
