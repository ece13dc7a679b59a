"""A sweep: many runs from one data set, each distilled and evaluated in turn.

The runs hold all results, so a sweep that was stopped is resumed from them.  Finished runs of the store that
would give the same result are used instead of new ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill import distill
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.engine.environment import machine
from rcig_cli.runs.evaluate.evaluate import evaluate, protocol_network
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol, evaluation_protocol
from rcig_cli.runs.evaluate.results import Evaluation
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.runs.sweep.plan import SweepPlan
from rcig_cli.runs.sweep.plots import write_results
from rcig_cli.runs.sweep.table import Cell, Outcome, Table, describe_settings, swept, tabulate, timing_of
from rcig_cli.settings import values_of
from rcig_cli.store.documents import canonical
from rcig_cli.store.locks import RunLock
from rcig_cli.store.records import RunManifest, SweepManifest, now, versions, write_manifest
from rcig_cli.store.results import read_results
from rcig_cli.store.store import Store


@dataclass(frozen=True)
class SweepResult:
    """A finished sweep: its name in the store, its results, and the PNG files of its plots."""

    name: str
    table: Table
    figures: tuple[Path, ...]


def sweep(
    store: Store,
    prepared: Prepared,
    plan: SweepPlan,
    *,
    report: Report,
    new: bool = False,
    checkpoint_every: int | None = None,
) -> SweepResult:
    """Distil and evaluate every combination of a plan, or resume the newest sweep of this plan.

    Parameters
    ----------
    store
        Where the runs are.
    prepared
        The data set of all runs.
    plan
        The settings.
    report
        Receives messages and progress.
    new
        Whether to start a new sweep that doesn't reuse existing runs.
    checkpoint_every
        Steps between checkpoints of a run; None for every 10 minutes.

    Raises
    ------
    ConfigError
        If a combination of settings is not possible.  All are checked before the first run.
    Locked
        If another process is running this sweep.
    Interrupted, KeyboardInterrupt
        If a signal stopped it.  Finished runs and evaluations are kept, and the current run has a checkpoint.
    """
    cells = _cells(prepared, plan)
    axes = _axes(plan, cells)
    for name, lacking in plan.ignored().items():
        report.note(f"{name} is not a setting of {', '.join(lacking)}, whose runs ignore it.")
    manifest, lock = _find_or_create(store, prepared, plan, cells, new=new)
    with lock:
        count = "1 run" if len(cells) == 1 else f"{len(cells)} runs"
        state = "is finished" if manifest.status == "finished" else f"has {count}"
        report.note(f"{manifest.name} of {prepared.manifest.name} {state}.")
        one = _Sweep(store, prepared, manifest, cells, RunContext(report, checkpoint_every))
        table = tabulate(axes, one.run(axes, baseline=plan.baseline))
        return SweepResult(manifest.name, table, write_results(store, manifest.name, table))


def _cells(prepared: Prepared, plan: SweepPlan) -> list[Cell]:
    """Resolve the settings of every run, each once, in the order of the plan."""
    cells: dict[DistillConfig, Cell] = {}
    for settings in plan.combinations():
        try:
            config = resolved(prepared, settings)
            if config in cells:
                continue
            distill.check_possible(prepared, config)
            images = sum(config.decoded_per_class(prepared.classes))
            protocol = evaluation_protocol(config, images, **plan.evaluate)
            protocol_network(prepared, protocol)
        except ConfigError as error:
            where = describe_settings({name: settings[name] for name in plan.axes if name in settings})
            raise ConfigError(f"With {where}: {error}" if where else str(error)) from None
        cells[config] = Cell(config, protocol)
    return list(cells.values())


def _axes(plan: SweepPlan, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Return the swept settings in which the runs differ."""
    configs = [cell.config.to_json() for cell in cells]
    return tuple(name for name in plan.axes if len({repr(config.get(name)) for config in configs}) > 1)


def _find_or_create(
    store: Store, prepared: Prepared, plan: SweepPlan, cells: Sequence[Cell], *, new: bool
) -> tuple[SweepManifest, RunLock]:
    """Return the newest sweep of the same runs, or a new one, locked."""
    document = {
        **plan.to_json(),
        "configurations": [cell.config.to_json() for cell in cells],
        "protocols": [values_of(cell.protocol) for cell in cells],
        "new": new,
    }
    for found in () if new else reversed(store.sweeps().found):
        same = all(found.config.get(key) == document[key] for key in ("configurations", "protocols"))
        if same and found.parents["dataset"]["digest"] == prepared.manifest.digest:
            lock = RunLock(store.sweep_path(found.name))
            return store.sweep(found.name), lock

    def manifest(name: str) -> SweepManifest:
        return SweepManifest(
            name=name,
            created=now(),
            updated=now(),
            status="running",
            config=document,
            dataset=prepared.manifest.name,
            parents={"dataset": prepared.manifest.as_parent},
            runs=(),
            versions=versions(),
            files={},
        )

    return store.create("sweep", manifest)


class _Sweep:
    """A sweep in progress; the caller holds its lock."""

    def __init__(
        self,
        store: Store,
        prepared: Prepared,
        manifest: SweepManifest,
        cells: Sequence[Cell],
        context: RunContext,
    ) -> None:
        self.store, self.prepared, self.manifest, self.cells = store, prepared, manifest, cells
        self.context, self.report = context, context.report
        self.runs: dict[DistillConfig, str] = {}

    def run(self, axes: Sequence[str], *, baseline: bool) -> list[Outcome]:
        """Distil and evaluate the missing runs; return an outcome for each cell, also for diverged runs."""
        self._find_runs()
        self._record(status="running", files={})
        outcomes = []
        baselines: set[tuple[Any, EvaluationProtocol]] = set()  # whose random subsets are evaluated
        try:
            for number, cell in enumerate(self.cells, 1):
                where = describe_settings(swept(cell.config, axes)) or "a single run"
                label = f"run {number} of {len(self.cells)}, {where}"
                key = cell.config.ipc, cell.protocol
                outcomes.append(self._run_cell(cell, label, baseline=baseline and key not in baselines))
                if outcomes[-1].evaluation is not None:
                    baselines.add(key)
        except (Interrupted, KeyboardInterrupt):
            self._record(status="interrupted")
            raise
        return outcomes

    def _record(self, **changes: Any) -> None:
        """Write changes, and the names of the runs, into the manifest of the sweep."""
        runs = tuple(self.runs[cell.config] for cell in self.cells if cell.config in self.runs)
        self.manifest = replace(self.manifest, updated=now(), runs=runs, **changes)
        write_manifest(self.store.sweep_path(self.manifest.name), self.manifest)

    def _find_runs(self) -> None:
        """Find the runs of this sweep, and other finished runs that would have the same result."""
        wanted = {canonical(cell.config.to_json()): cell.config for cell in self.cells}
        found = self.store.runs().found
        others = () if self.manifest.config["new"] else filter(self._has_same_result, found)
        own = (run for run in found if run.parents.get("sweep") == self.manifest.as_parent)
        for run in (*others, *own):
            config = wanted.get(canonical(run.config))
            if config is not None:
                self.runs[config] = run.name

    def _has_same_result(self, run: RunManifest) -> bool:
        """Whether a run is finished and was made from the same data, with the same versions and machine."""
        same_data = run.parents["dataset"] == self.manifest.parents["dataset"]
        same_place = run.versions == versions() and run.machine == machine()
        return run.status == "finished" and not run.imported and same_data and same_place

    def _run_cell(self, cell: Cell, label: str, *, baseline: bool) -> Outcome:
        run, lock = self._open_or_create(cell.config)
        path = self.store.run_path(run.name)
        with lock:
            run = self.store.run(run.name)
            if run.status in ("running", "interrupted"):
                self.report.note(f"{run.name}: {label}.")
                try:
                    run = distill.execute(path, run, self.prepared, self.context)
                except NumericsError as error:
                    self.report.warn(str(error))
                    run = self.store.run(run.name)
            diverged = run.status == "failed"
            evaluation = None if diverged else self._evaluate(run, cell.protocol, baseline=baseline)
            return Outcome(cell, run, evaluation, timing_of(path))

    def _open_or_create(self, config: DistillConfig) -> tuple[RunManifest, RunLock]:
        if config in self.runs:
            run = self.store.run(self.runs[config])
            return run, RunLock(self.store.run_path(run.name))
        run, lock = distill.create_run(self.store, self.prepared, config, self.manifest)
        self.runs[config] = run.name
        self._record()
        return run, lock

    def _evaluate(self, run: RunManifest, protocol: EvaluationProtocol, *, baseline: bool) -> Evaluation:
        """Return a stored evaluation by this protocol, or evaluate the run."""
        records = read_results(self.store.run_path(run.name), "evaluations").found
        same = [record for record in records if record["protocol"] == values_of(protocol)]
        for record in sorted(same, key=lambda record: record["random_subset"] is None):
            if record["random_subset"] or not baseline:
                return Evaluation.from_json(run.name, record)
        distilled = open_distilled(self.store, run.name)
        return evaluate(distilled, protocol, report=self.report, baseline=baseline)
