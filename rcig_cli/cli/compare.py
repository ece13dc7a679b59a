"""``rcig compare``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import accuracy, describe_protocol

if TYPE_CHECKING:
    from rcig_cli.reporting.compare import Comparison


@with_context
def compare(
    here: Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two or more runs.")],
) -> None:
    """Compare runs: the settings in which they differ, and their accuracies so far.

    Example: rcig compare run_1 run_2
    """
    if len(set(runs)) < 2:
        raise ConfigError("compare needs two or more runs, for example: rcig compare run_1 run_2.")
    from rcig_cli.reporting.compare import compare

    comparison = compare(here.store(), runs)
    for problem in comparison.unreadable:
        here.console.warn(problem)
    here.console.document(comparison.to_json())
    here.console.table(("", *(run.name for run in comparison.runs)), _rows(comparison))
    for index, run in enumerate(comparison.runs):
        if not any(row.evaluations[index] for row in comparison.rows):
            here.next(f"evaluate {run.name}")


def _rows(comparison: "Comparison") -> Iterator[list[str]]:
    """A row for each setting; for each protocol the accuracies, then random subsets' and the paper's."""
    for name, values in comparison.differences.items():
        yield [name, *("-" if value is None else str(value) for value in values)]
    for row in comparison.rows:
        labels = {
            "accuracy": describe_protocol(row.protocol),
            "random_subset": "  random subset",
            "paper": "  paper",
        }
        for name, label in labels.items():
            accuracies = row.values(name)
            if name == "accuracy" or any(accuracies):
                yield [label, *map(accuracy, accuracies)]
