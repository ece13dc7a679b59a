"""``rcig sweep``."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    Context,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.errors import Interrupted
from rcig_cli.reporting.formatting import percent

if TYPE_CHECKING:
    from rcig_cli.presets.sweep import SweepPlan
    from rcig_cli.runs.prepare.prepared import Prepared
    from rcig_cli.runs.sweep.sweep_table import Row, Table
    from rcig_cli.store.store import Store

_EMBEDDED = "digits"  # comes with scikit-learn


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What to sweep over, in TOML.")],
    new: Annotated[
        bool, typer.Option("--new", help="Begin anew, whatever of it is in the store already.")
    ] = False,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Save every so many steps. Default: every 10 minutes.", min=1),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Distil and judge every combination of some settings; print a table, draw plots.

    FILE is TOML. First the settings that all runs share, such as dataset = "digits" and ipc = 1. Then a
    table [sweep] with lists, such as seed = [0, 1, 2] and algorithm = ["rcig", "frepo"]; of several
    [[sweep]] tables each gives its own combinations. Then perhaps [evaluate], with networks = 3.

    Stop it any time; the same line goes on.

    Example: rcig sweep docs/sweeps/table_1.toml
    """
    del debug
    from rcig_cli.presets.sweep import read_plan

    here = context(store, json, quiet)
    plan = read_plan(file)
    artifacts = here.store(create=True)
    dataset = _dataset(here, artifacts, plan.dataset)
    here.prepare_jax()
    from rcig_cli.runs.prepare.prepared import open_prepared

    try:
        name, table, paths = _swept(
            here, artifacts, open_prepared(artifacts, dataset), plan, new, checkpoint_every
        )
    except Interrupted as stopped:
        again = here.command(f"sweep {shlex.quote(str(file))}")
        raise Interrupted(f"{stopped} To go on: {again}", stopped.signal_number) from None
    document = {"sweep": name, "status": "finished", "dataset": dataset, **table.to_json()}
    if json:
        here.console.data("", {**document, "files": [str(path) for path in paths]})
        return
    _show(here, name, table)
    for path in paths:
        here.console.data(str(path), {})
    here.next(f"show {name}")


def _dataset(here: Context, artifacts: "Store", name: str | None) -> str:
    if name == _EMBEDDED and not artifacts.dataset_path(name).exists():
        from rcig_cli.runs.prepare.prepare import prepare

        here.console.note(f"Preparing {name}, which comes with scikit-learn.")
        return prepare(artifacts, name, report=here.console, wait=True).name
    from rcig_cli.runs.distill.distill import choose_dataset

    return choose_dataset(artifacts, name, here.console)


def _swept(
    here: Context,
    artifacts: "Store",
    prepared: "Prepared",
    plan: "SweepPlan",
    new: bool,
    checkpoint_every: int | None,
) -> "tuple[str, Table, tuple[Path, ...]]":
    """Go through a sweep from wherever it is; return its name, what it found, and its plots."""
    from rcig_cli.runs.sweep import sweep as job
    from rcig_cli.runs.sweep.sweep_plots import publish
    from rcig_cli.runs.sweep.sweep_table import tabulate

    layout = job.lay_out(prepared, plan)
    manifest, lock = job.claim(artifacts, layout, new=new)
    policy = checkpoint_every
    with lock:
        done = "is finished" if manifest.status == "finished" else f"has {_runs(len(layout.cells))}"
        here.console.note(f"{manifest.name} of {prepared.manifest.name} {done}.")
        with here.console.working():
            outcomes = job.run_sweep(artifacts, manifest, layout, policy, here.console)
        table = tabulate(layout, outcomes)
        return manifest.name, table, publish(artifacts, manifest.name, table)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _show(here: Context, name: str, table: "Table") -> None:
    here.console.note(
        "Test accuracy: mean ± standard deviation over the networks of all seeds. "
        "Times of one run, compilation excluded."
    )
    columns = (*(table.axes or (name,)), "accuracy", "ms/step", "seconds", "runs")
    rows = [_cells(row, table) for row in table.rows]
    several = len(table.baselines) > 1
    for each in table.baselines:
        which = f", {each.ipc} per class, width {each.protocol.width}" if several else ""
        blank = [""] * (len(columns) - 5)
        accuracy = percent(each.accuracy.mean, each.accuracy.std)
        rows.append([f"random images{which}", *blank, accuracy, "", "", ""])
    here.console.table(columns, rows)


def _cells(row: "Row", table: "Table") -> list[str]:
    settings = [_word(row.settings[name]) for name in table.axes] or ["as given"]
    accuracy = percent(row.accuracy.mean, row.accuracy.std) if row.accuracy else "diverged"
    lost = len(row.diverged)
    runs = f"{len(row.outcomes)}" + (f", {lost} diverged" if lost else "")
    return [*settings, accuracy, _rounded(row.milliseconds), _rounded(row.seconds), runs]


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"
