"""``rcig sweep``."""

import re
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import CheckpointOption, Context, with_context
from rcig_cli.errors import ConfigError, Interrupted, shorten
from rcig_cli.reporting.formatting import (
    describe_network,
    duration,
    exact_size,
    per_class,
    percent,
    size,
    source_of,
)
from rcig_cli.settings import values_of

if TYPE_CHECKING:
    from rcig_cli.runs.sweep.forecast import Forecast
    from rcig_cli.runs.sweep.table import Baseline, Row, Table

_WHICH = "sweep"  # the first column, where the rows of a table differ in no setting

# Columns, the least important first.
_OPTIONAL = ("ms/step", "runs", "seconds", "in all", "stored", "batch", "width", "steps")


@with_context
def sweep(
    here: Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML file of the settings to sweep over.")],
    new: Annotated[
        bool, typer.Option("--new", help="Start a new sweep; don't resume or reuse existing runs.")
    ] = False,
    part: Annotated[
        str | None,
        typer.Option(
            metavar="K/N",
            help="Distil and evaluate only part K of N of the runs, such as 2/4: a part for each GPU, or for "
            "each job of an array. Then run the command without --part for the whole table.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only print the memory and time that each run needs; run nothing."),
    ] = False,
    only_finished: Annotated[
        bool,
        typer.Option(
            "--only-finished",
            help="Only print the table of the runs that are finished and evaluated; run nothing.",
        ),
    ] = False,
    checkpoint_every: CheckpointOption = None,
) -> None:
    """Distil and evaluate every combination of some settings; print a table and draw plots.

    FILE begins with the settings that all runs share, such as dataset = "digits" and ipc = 1. A [sweep]
    table lists the values to combine, such as seed = [0, 1, 2] and algorithm = ["rcig", "frepo"]; with
    several [[sweep]] tables, each is combined by itself. An optional [evaluate] table has settings of
    rcig evaluate, such as networks = 3; with several [[evaluate]] tables, each run is evaluated by each.
    With minutes = 10, width, batch and steps are chosen so that a run ends in that time.

    To resume a stopped sweep, run the same command again.

    Example: rcig sweep docs/sweeps/table_1.toml
    """
    from rcig_cli.runs.sweep.plan import read_plan

    if new and only_finished:
        raise ConfigError("--new contradicts --only-finished: leave one of them out.")
    plan, share = read_plan(file), None if part is None else _parse_part(part)
    store = here.store(create=not only_finished)
    here.prepare_jax()
    if dry_run:
        from rcig_cli.runs.sweep.forecast import forecast

        with here.console.working():
            runs = forecast(store, plan, here.console, new=new, part=share)
        _print_forecast(here, runs)
        return
    from rcig_cli.runs.sweep import sweep as job

    try:
        with here.console.working():
            if only_finished:
                result = job.finished(store, plan, report=here.console, part=share)
            else:
                result = job.sweep(
                    store, plan, report=here.console, new=new, part=share, checkpoint_every=checkpoint_every
                )
    except (Interrupted, KeyboardInterrupt) as stopped:
        again = here.command(f"sweep {shlex.quote(str(file))}{f' --part {part}' if part else ''}")
        number = stopped.signal_number if isinstance(stopped, Interrupted) else signal.SIGINT
        raise Interrupted(f"{str(stopped) or 'Stopped.'} To resume: {again}", number) from None
    name, table = result.name, result.table
    status = "interrupted" if result.left_out else "finished"
    document = {"sweep": name, "status": status, "dataset": result.dataset, **table.to_json()}
    left_out, files = list(result.left_out), [str(path) for path in result.figures]
    here.console.document({**document, "left_out": left_out, "files": files})
    rows = [*(_cells(row, table) for row in table.rows), *_baselines(table)]
    columns = _columns(table)
    here.console.table(
        [(name or _WHICH) if column == _WHICH else column for column in columns],
        [[row.get(column, "") for column in columns] for row in rows],
        "Test accuracy: mean ± standard deviation over the networks of all seeds. "
        f"Times: of one run, compilation excluded{_remarks(table)}",
        optional=[name for name in _OPTIONAL if name not in table.axes],
    )
    for path in result.figures:
        here.console.text(str(path))
    if left_out:
        here.console.warn(f"The table is incomplete. Not in it: {'; '.join(left_out)}.")
    here.next(f"show {name}" if name and not part and not left_out else f"sweep {shlex.quote(str(file))}")


def _parse_part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ConfigError(
            "--part must be K/N with K from 1 to N, such as 2/4 for the second of four parts, not "
            f"{shorten(text)}."
        )
    return int(found[1]), int(found[2])


def _print_forecast(here: Context, runs: "Sequence[Forecast]") -> None:
    here.console.document({"runs": [run.to_json() for run in runs]})
    axes = list(runs[0].settings) or [_WHICH]
    sizes = ("steps", "batch", "width")
    rows = [
        [
            *([_text(value) for value in run.settings.values()] or ["(single run)"]),
            *(_text(getattr(run, name)) for name in sizes if name not in axes),
            "-" if run.memory is None else size(run.memory),
            "-" if run.seconds is None else duration(run.seconds),
            run.status or "not started",
        ]
        for run in runs
    ]
    total = sum(run.seconds or 0 for run in runs if run.status not in ("finished", "failed"))
    here.console.table(
        [*axes, *(name for name in sizes if name not in axes), "memory", "time", "status"],
        rows,
        "Memory: of the compiled outer step and of the images that it reads; a GPU also needs a workspace "
        "for convolutions. Time: to distil on this machine, without compilation and evaluation, estimated "
        "from the operations of a step and the speed of matrix products. The runs that are not finished, "
        f"counted from their first step, need about {duration(total)}.",
    )


def _columns(table: "Table") -> list[str]:
    """Return the columns of a table, where they have something to show."""
    chosen = any(row.minutes for row in table.rows)
    return [
        *(table.axes or [_WHICH]),
        *(["protocol"] if len(table.labels) > 1 else []),
        "accuracy",
        *(["paper"] if any(row.paper for row in table.rows) else []),
        *(name for name in ("steps", "batch", "width") if chosen and name not in table.axes),
        "stored",
        "ms/step",
        "seconds",
        *(["in all"] if chosen else []),
        "runs",
    ]


def _cells(row: "Row", table: "Table") -> dict[str, str]:
    """Return what a table shows of a row, by column."""
    picked = row.config.algorithm_record.pick is not None
    diverged = f", {len(row.diverged)} diverged" if row.diverged else ""
    return {
        **({name: _text(row.settings[name]) for name in table.axes} or {_WHICH: "(single run)"}),
        "protocol": row.label,
        "accuracy": row.accuracy.percent if row.accuracy else "diverged",
        "paper": percent(row.paper.mean, row.paper.std) if row.paper else "-",
        "stored": exact_size(row.size.stored_bytes.images) if row.size else "-",
        "ms/step": _rounded(row.milliseconds),
        "seconds": _rounded(row.seconds),
        "in all": _rounded(row.seconds_in_all),
        "runs": f"{len(row.outcomes)}{diverged}",
        **{name: "-" if picked else str(getattr(row.config, name)) for name in ("steps", "batch")},
        "width": str(row.config.width),
    }


def _baselines(table: "Table") -> Iterator[dict[str, str]]:
    """Yield what a table shows of random images; where a protocol has several, in what these differ."""
    for each in table.baselines:
        alike = [_described(other) for other in table.baselines if other.label == each.label]
        texts = zip(_described(each), *alike, strict=True)
        differing = [text for text, *others in texts if len({*others}) > 1]
        yield {
            (table.axes or [_WHICH])[0]: ", ".join(["random images", *differing]),
            "protocol": each.label,
            "accuracy": each.accuracy.percent,
        }


def _described(baseline: "Baseline") -> list[str]:
    protocol = baseline.protocol
    return [
        source_of({"dataset": baseline.dataset, "classes": baseline.classes}),
        f"{per_class(baseline.ipc)} per class",
        describe_network(values_of(protocol)),
        f"{protocol.steps} steps",
        "mirrored images too" if protocol.flip else "no mirrored images",
    ]


def _remarks(table: "Table") -> str:
    """Say what some columns and rows mean, where a table has them."""
    remarks = "."
    if any(row.minutes for row in table.rows):
        remarks = "; in all: compilation and training of experts included."
    if any(row.paper for row in table.rows):
        remarks += " Paper: the RCIG paper's, at full length and width; other methods as it quotes them."
    if not all(row.size is None or row.size.is_raw for row in table.rows):
        remarks += (
            " Random images are ipc of each class, which take at least the bytes of the distilled sets."
        )
    return remarks


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return per_class(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"
