"""``rcig compare``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import accuracy, describe_protocol

if TYPE_CHECKING:
    from rcig_cli.reporting.compare import Comparison, Row


def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two runs or more.")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Put runs side by side: where their settings differ, and their accuracies, as far as they were judged.

    Example: rcig compare run_1 run_2
    """
    del debug
    here = context(store, json, quiet)
    if len(set(runs)) < 2:
        raise ConfigError("compare needs two runs or more, for example: rcig compare run_1 run_2.")
    from rcig_cli.reporting import compare as job

    found = job.compare(here.store(), runs)
    for problem in found.unreadable:
        here.console.warn(problem)
    if json:
        here.console.data("", found.to_json())
        return
    here.console.table(("", *(run.name for run in found.runs)), list(_lines(found)))
    for index, run in enumerate(found.runs):
        if not any(row.evaluations[index] for row in found.rows):
            here.next(f"evaluate {run.name}")


def _lines(found: "Comparison") -> Iterator[list[str]]:
    for name, values in found.differences.items():
        yield [name, *("-" if value is None else str(value) for value in values)]
    for row in found.rows:
        yield from _judged(row)


def _judged(row: "Row") -> Iterator[list[str]]:
    """One protocol: the runs' accuracies, then those of random subsets, and the paper's."""
    yield [describe_protocol(row.protocol), *_cells(row.values("accuracy"))]
    for name, said in (("random_subset", "  random subset"), ("paper", "  paper")):
        if any(row.values(name)):
            yield [said, *_cells(row.values(name))]


def _cells(accuracies: list[Any]) -> list[str]:
    return [accuracy(each) for each in accuracies]
