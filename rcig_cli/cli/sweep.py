"""``rcig sweep``."""

import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import CheckpointOption, Context, with_context
from rcig_cli.errors import Interrupted
from rcig_cli.reporting.formatting import exact_size, per_class

if TYPE_CHECKING:
    from rcig_cli.runs.sweep.table import Row, Table


@with_context
def sweep(
    here: Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file of the settings to sweep over.")],
    new: Annotated[
        bool, typer.Option("--new", help="Start a new sweep; don't resume or reuse existing runs.")
    ] = False,
    checkpoint_every: CheckpointOption = None,
) -> None:
    """Distil and evaluate every combination of some settings; print a table and draw plots.

    FILE begins with the settings that all runs share, such as dataset = "digits" and ipc = 1. A [sweep]
    table lists the values to combine, such as seed = [0, 1, 2] and algorithm = ["rcig", "frepo"]; with
    several [[sweep]] tables, each is combined by itself. An optional [evaluate] table has settings of
    rcig evaluate, such as networks = 3.

    To resume a stopped sweep, run the same command again.

    Example: rcig sweep docs/sweeps/table_1.toml
    """
    from rcig_cli.runs.sweep.plan import read_plan

    plan = read_plan(file)
    store = here.store(create=True)
    here.prepare_jax()
    from rcig_cli.runs.distill.distill import choose_dataset
    from rcig_cli.runs.prepare.prepared import open_prepared
    from rcig_cli.runs.sweep import sweep as job

    dataset = choose_dataset(store, plan.dataset, here.console)
    prepared = open_prepared(store, dataset)
    try:
        with here.console.working():
            result = job.sweep(
                store, prepared, plan, report=here.console, new=new, checkpoint_every=checkpoint_every
            )
    except (Interrupted, KeyboardInterrupt) as stopped:
        again = here.command(f"sweep {shlex.quote(str(file))}")
        number = stopped.signal_number if isinstance(stopped, Interrupted) else signal.SIGINT
        raise Interrupted(f"{str(stopped) or 'Stopped.'} To resume: {again}", number) from None
    document = {"sweep": result.name, "status": "finished", "dataset": dataset, **result.table.to_json()}
    here.console.document({**document, "files": [str(path) for path in result.figures]})
    columns = (*(result.table.axes or (result.name,)), "accuracy", "stored", "ms/step", "seconds", "runs")
    here.console.table(
        columns,
        [*(_cells(row, result.table) for row in result.table.rows), *_baselines(result.table)],
        "Test accuracy: mean ± standard deviation over the networks of all seeds. "
        f"Times: of one run, compilation excluded.{_remark(result.table)}",
    )
    for path in result.figures:
        here.console.text(str(path))
    here.next(f"show {result.name}")


def _baselines(table: "Table") -> Iterator[list[str]]:
    several = len(table.baselines) > 1
    blank = [""] * (len(table.axes) - 1)
    for each in table.baselines:
        protocol = each.protocol
        which = f", {per_class(each.ipc)} per class, width {protocol.width}, {protocol.steps} steps"
        yield [f"random images{which if several else ''}", *blank, each.accuracy.percent, "", "", "", ""]


def _remark(table: "Table") -> str:
    """Say what the sets of a sweep are compared with, if some of them are parametrized."""
    if all(row.size is None or row.size.is_raw for row in table.rows):
        return ""
    return " Random images are ipc of each class, which take at least the bytes of the distilled sets."


def _cells(row: "Row", table: "Table") -> list[str]:
    settings = [_text(row.settings[name]) for name in table.axes] or ["(single run)"]
    accuracy = row.accuracy.percent if row.accuracy else "diverged"
    diverged = f", {len(row.diverged)} diverged" if row.diverged else ""
    runs = f"{len(row.outcomes)}{diverged}"
    stored = exact_size(row.size.stored_bytes.images) if row.size else "-"
    return [*settings, accuracy, stored, _rounded(row.milliseconds), _rounded(row.seconds), runs]


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return per_class(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"
