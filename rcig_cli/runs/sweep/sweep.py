"""A sweep: many runs from one data set, each distilled and judged in its turn.

What is done is in the runs themselves, and found there: a sweep that was stopped, however, goes on where it
was.  A run of the store that is finished and would come out the same is taken as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.sweep import SweepPlan
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill import distill
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.engine.timing import Stopwatch, Timing, timing_of
from rcig_cli.runs.evaluate.evaluate import Spread, evaluate, protocol_network
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol, evaluation_protocol
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.runs.signals import StopRequest, stop_on_signals
from rcig_cli.settings import values_of
from rcig_cli.store.locks import RunLock
from rcig_cli.store.records import RunManifest, SweepManifest, now, versions, write_manifest
from rcig_cli.store.results import read_results
from rcig_cli.store.store import Store


@dataclass(frozen=True)
class Cell:
    """One run of a sweep, before there is one.

    Attributes
    ----------
    config
        How it is distilled.
    protocol
        How it is judged.
    """

    config: DistillConfig
    protocol: EvaluationProtocol


@dataclass(frozen=True, eq=False)
class Layout:
    """A sweep with everything resolved.

    Attributes
    ----------
    plan
        What was asked for.
    prepared
        The data set of all its runs.
    cells
        Its runs, each once, in the order of the plan.
    axes
        The settings in which they differ, the seed among them if it is swept over.
    """

    plan: SweepPlan
    prepared: Prepared
    cells: tuple[Cell, ...]
    axes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What a sweep's manifest records."""
        return {
            **self.plan.to_json(),
            "configurations": [cell.config.to_json() for cell in self.cells],
            "protocols": [values_of(cell.protocol) for cell in self.cells],
        }


@dataclass(frozen=True)
class Outcome:
    """What came of one run.

    Attributes
    ----------
    cell
        What it was to be.
    run
        Its manifest; its status is "finished", or "failed" if it diverged.
    accuracy, random_subset
        Of networks trained on what it distilled, and on random real images; None if it diverged, and the
        latter where another run of the sweep has the same.
    timing
        How long it took, if that is known.
    """

    cell: Cell
    run: RunManifest
    accuracy: Spread | None
    random_subset: Spread | None
    timing: Timing | None


def lay_out(prepared: Prepared, plan: SweepPlan) -> Layout:
    """Resolve every run of a sweep, and refuse what can't be before anything is done.

    Raises
    ------
    ConfigError
        If a combination of settings can't be; the sentence says which.
    """
    judged = {name: value for name, value in plan.evaluate.items() if name != "baseline"}
    cells: dict[DistillConfig, Cell] = {}
    for settings in plan.combinations():
        try:
            config = resolved(prepared, settings)
            if config in cells:
                continue
            distill.check_possible(prepared, config)
            protocol = evaluation_protocol(config, prepared.classes * config.ipc, **judged)
            protocol_network(prepared, protocol)
        except ConfigError as error:
            swept = {name: settings[name] for name in plan.axes if name in settings}
            raise ConfigError(f"with {describe(swept)}: {error}" if swept else str(error)) from None
        cells[config] = Cell(config, protocol)
    configs = [config.to_json() for config in cells]
    axes = tuple(name for name in plan.axes if len({config[name] for config in configs}) > 1)
    return Layout(plan, prepared, tuple(cells.values()), axes)


def describe(settings: Mapping[str, Any]) -> str:
    """Some settings in a line, such as ``inner_steps 5, seed 0``."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def claim(store: Store, layout: Layout, *, new: bool) -> tuple[SweepManifest, RunLock]:
    """Return the newest sweep that is laid out like this, or a new one, locked for this process.

    Parameters
    ----------
    store
        Where it is, or will be.
    layout
        What it consists of.
    new
        Whether to begin a new one even so, that takes no run but its own.
    """
    document, digest = {**layout.to_json(), "anew": new}, layout.prepared.manifest.digest
    for sweep in () if new else reversed(store.sweeps().found):
        same = all(sweep.config.get(key) == document[key] for key in ("configurations", "protocols"))
        if same and sweep.parents["dataset"]["digest"] == digest:
            lock = RunLock(store.sweep_path(sweep.name))
            return store.sweep(sweep.name), lock

    def manifest(name: str) -> SweepManifest:
        return SweepManifest(
            name=name,
            created=now(),
            updated=now(),
            status="running",
            config=document,
            dataset=layout.prepared.manifest.name,
            parents={"dataset": layout.prepared.manifest.as_parent},
            runs=(),
            versions=versions(),
            files={},
        )

    name, lock = store.create_sweep(manifest)
    return store.sweep(name), lock


def run_sweep(
    store: Store,
    manifest: SweepManifest,
    layout: Layout,
    policy: int | None,
    report: Report,
) -> list[Outcome]:
    """Distil and judge what isn't yet; a run that diverges is an outcome like any other.

    Parameters
    ----------
    store
        Where the runs are.
    manifest
        The sweep's; the caller holds its lock.
    layout
        What it consists of.
    policy
        When its runs save.
    report
        Where messages go.

    Returns
    -------
    list
        One outcome for each cell, in their order.

    Raises
    ------
    Interrupted
        If a signal stopped it; the run under way has its checkpoint.
    """
    with stop_on_signals() as stop:
        one = _Sweep(store, manifest, layout, policy, report, stop)
        one.find()
        one.record(status="running", files={})
        try:
            return [one.settle(number, cell) for number, cell in enumerate(layout.cells, 1)]
        except Interrupted:
            one.record(status="interrupted")
            raise


class _Sweep:
    """A sweep under way."""

    def __init__(
        self,
        store: Store,
        manifest: SweepManifest,
        layout: Layout,
        policy: int | None,
        report: Report,
        stop: StopRequest,
    ) -> None:
        self.store, self.manifest, self.layout = store, manifest, layout
        self.policy, self.report, self.stop = policy, report, stop
        self.runs: dict[DistillConfig, str] = {}
        self.baselines: set[tuple[int, EvaluationProtocol]] = (
            set()
        )  # what random subsets have been judged for

    def record(self, **changes: Any) -> None:
        """Write what has changed into the sweep's manifest, the runs always."""
        runs = tuple(self.runs[cell.config] for cell in self.layout.cells if cell.config in self.runs)
        self.manifest = replace(self.manifest, updated=now(), runs=runs, **changes)
        write_manifest(self.store.sweep_path(self.manifest.name), self.manifest)

    def find(self) -> None:
        """Look in the store for runs of this sweep, and for finished ones that would come out the same."""
        wanted, new = {cell.config for cell in self.layout.cells}, self.manifest.config.get("anew")
        found = self.store.runs().found
        others = [] if new else [run for run in found if self._is_as_good(run)]
        for run in (*others, *(run for run in found if self._is_own(run))):
            config = _config_of(run)
            if config in wanted:
                self.runs[config] = run.name

    def _is_own(self, run: RunManifest) -> bool:
        return run.parents.get("sweep") == self.manifest.as_parent

    def _is_as_good(self, run: RunManifest) -> bool:
        same_data = run.parents["dataset"] == self.manifest.parents["dataset"]
        return run.status == "finished" and not run.imported and same_data and run.versions == versions()

    def settle(self, number: int, cell: Cell) -> Outcome:
        """Distil and judge one run, as far as that isn't done."""
        self._check_stop()
        run, lock = self._run_of(cell.config)
        with lock:
            run = self.store.run(run.name)
            if run.status in ("running", "interrupted"):
                values = cell.config.to_json()
                swept = describe({name: values[name] for name in self.layout.axes})
                self.report.note(f"{run.name}, {number} of {len(self.layout.cells)}: {swept or 'as given'}.")
                run = self._distil(run)
            timing = timing_of(self.store.run_path(run.name))
            if run.status == "failed":
                return Outcome(cell, run, None, None, timing)
            return Outcome(cell, run, *self._judged(run, cell), timing)

    def _run_of(self, config: DistillConfig) -> tuple[RunManifest, RunLock]:
        if config in self.runs:
            run = self.store.run(self.runs[config])
            return run, RunLock(self.store.run_path(run.name))
        run, lock = distill.create_run(self.store, self.layout.prepared, config, self.manifest)
        self.runs[config] = run.name
        self.record()
        return run, lock

    def _distil(self, run: RunManifest) -> RunManifest:
        path = self.store.run_path(run.name)
        stopwatch = Stopwatch(self.report)
        try:
            return distill.execute(path, run, self.layout.prepared, RunContext(stopwatch, self.policy))
        except NumericsError as error:
            self.report.warn(str(error))
            return self.store.run(run.name)
        finally:
            stopwatch.keep(path)

    def _judged(self, run: RunManifest, cell: Cell) -> tuple[Spread, Spread | None]:
        """The accuracies on record for this protocol, or else now measured."""
        key = cell.config.ipc, cell.protocol
        baseline = bool(self.layout.plan.evaluate.get("baseline", True)) and key not in self.baselines
        self.baselines.add(key)
        records = read_results(self.store.run_path(run.name), "evaluations").found
        kept = _recorded(records, cell.protocol)
        if kept is not None and (kept[1] is not None or not baseline):
            return kept
        distilled = open_distilled(self.store, run.name)
        report = _Watched(self.report, self._check_stop)
        made = evaluate(distilled, cell.protocol, report=report, baseline=baseline)
        return made.accuracy, made.random_subset

    def _check_stop(self) -> None:
        if self.stop.signal_number is not None:
            raise Interrupted("Stopped; what is done stays done.", self.stop.signal_number)


class _Watched:
    """A report that passes everything on, and looks whether to stop whenever it hears of progress."""

    def __init__(self, report: Report, check: Callable[[], None]) -> None:
        self.note, self.warn = report.note, report.warn
        self._report, self._check = report, check

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        self._report.progress(label, done, total, values)
        self._check()


def _config_of(run: RunManifest) -> DistillConfig | None:
    try:
        return DistillConfig.from_json(run.config)
    except (ConfigError, TypeError, AttributeError):  # of another version, or edited
        return None


def _recorded(
    records: Sequence[Mapping[str, Any]], protocol: EvaluationProtocol
) -> tuple[Spread, Spread | None] | None:
    """The accuracies of the newest evaluation under a protocol, rather one with random subsets."""
    found = None
    for record in records:
        if record.get("protocol") == values_of(protocol):
            accuracy, random = record.get("accuracy"), record.get("random_subset")
            if found is None or found[1] is None or random:
                found = _accuracy(accuracy), _accuracy(random) if random else None
    return found


def _accuracy(record: Any) -> Spread:
    return Spread(tuple(float(value) for value in record["values"]))
