"""What each run of a sweep needs, before the first one starts: memory and time."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rcig_cli.distillation.settings import ExpertSettings
from rcig_cli.runs.distill.group import usable_runs
from rcig_cli.runs.distill.run_loop import engine_for, initial_psi
from rcig_cli.runs.distill.time_budget import expected_speed, operations_of_step
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.mesh import choose_devices
from rcig_cli.runs.report import Report
from rcig_cli.runs.sweep.plan import SweepPlan
from rcig_cli.runs.sweep.sweep import cells_of, find_sweep, sweeps_of
from rcig_cli.runs.sweep.table import Cell, describe_settings, keys_of, swept
from rcig_cli.store.store import Store


@dataclass(frozen=True)
class Forecast:
    """What one run of a sweep needs.

    Attributes
    ----------
    settings
        Those that are swept, by name.
    steps, batch, width
        Of the run; None if they are chosen when it begins.
    memory
        Bytes that its compiled step needs, with the pool of models and the real images that it reads; None
        if unknown: for runs with ``minutes`` and for methods that train experts or take no steps.
    seconds
        Estimated time to distil, compilation, evaluation and the training of experts not included; None if
        unknown.
    status
        That of the run in the store that the sweep takes or resumes, or None if there is none.
    """

    settings: Mapping[str, Any]
    steps: int | None
    batch: int | None
    width: int | None
    memory: int | None
    seconds: float | None
    status: str | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def forecast(
    store: Store,
    plan: SweepPlan,
    report: Report,
    *,
    new: bool = False,
    part: tuple[int, int] | None = None,
) -> list[Forecast]:
    """Return what each run of a sweep needs on this machine; nothing is run.

    The memory is that of the compiled step.  The time is that of its operations at half of the speed of a
    product of large matrices, which is about what outer steps reach.

    Parameters
    ----------
    store
        Where the data sets and runs are.
    plan, new, part
        As for `sweep`.
    report
        Receives progress.

    Raises
    ------
    ConfigError, NotFound
        As for `sweep`.
    """
    cells, axes = cells_of(store, plan, part, report)
    data = [cell.prepared.manifest.as_parent for cell in cells]
    resumed = None if new else find_sweep(store, cells)
    alone = new or (resumed is not None and resumed.config["new"])
    groups = [] if alone else sweeps_of(store, plan)
    groups += [resumed.as_parent] if resumed else []
    usable = usable_runs(store.runs().found, "sweep", data, groups, finished=not alone)
    status = {key: store.with_current_status(run).status for run in usable for key in keys_of(run)}
    speed = expected_speed()
    needs: dict[str, tuple[int | None, float | None]] = {}  # those of other seeds are the same
    found = []
    for number, cell in enumerate(cells):
        settings = swept(cell.config, cell.minutes, axes)
        report.progress(f"compiling {describe_settings(settings) or 'the run'}", number, len(cells))
        if cell.group not in needs:
            needs[cell.group] = _needs(cell, speed)
        memory, seconds = needs[cell.group]
        # They are chosen when a run with minutes begins.
        config = None if cell.minutes is not None else cell.config
        found.append(
            Forecast(
                settings,
                steps=config.steps if config else None,
                batch=config.batch if config else None,
                width=config.width if config else None,
                memory=memory,
                seconds=seconds,
                status=status.get(cell.key),
            )
        )
    return found


def _needs(cell: Cell, speed: float) -> tuple[int | None, float | None]:
    """Return the bytes and the seconds of a run."""
    config, prepared = cell.config, cell.prepared
    if cell.minutes is not None:
        return None, 60 * cell.minutes
    if config.algorithm_record.pick or isinstance(config.method, ExpertSettings):
        return None, None
    real = RealData(prepared.images("train"), prepared.labels("train"))
    psi = initial_psi(real, prepared.classes, config, config.decoder(prepared.shape, prepared.classes))
    engine = engine_for(config, prepared, real, choose_devices(None))
    memory = engine.compile(engine.template(psi))
    return memory, config.steps * operations_of_step(config, prepared, psi) / speed
