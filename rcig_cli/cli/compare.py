"""``rcig compare``."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import ConfigError
from rcig_cli.presets.set_size import SetSize
from rcig_cli.reporting.formatting import accuracy, describe_protocol, exact_size, per_class


@with_context
def compare(
    here: Context,
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Two or more runs.")],
) -> None:
    """Compare runs: the settings in which they differ, and their accuracies so far.

    Example: rcig compare run_1 run_2
    """
    store = here.store()
    names = list(dict.fromkeys(store.run(name).name for name in runs))
    if len(names) < 2:
        raise ConfigError("compare needs two or more runs, for example: rcig compare run_1 run_2.")
    from rcig_cli.reporting.compare import compare

    document, problems = compare(store, names)
    for problem in problems:
        here.console.warn(problem)
    here.console.document(document)
    here.console.table(("", *names), _rows(document), _remark(document))
    for index, name in enumerate(names):
        if not any(row["accuracy"][index] for row in document["evaluations"]):
            here.next(f"evaluate {name}")


def _rows(comparison: Mapping[str, Any]) -> Iterator[list[str]]:
    """Return the rows of the table.

    They are: the files of imported runs; each setting; the stored bytes; and for each protocol the
    accuracies, then random subsets' and the paper's.
    """
    files = [run["imported_from"] for run in comparison["runs"]]
    if any(files):  # the settings of their distillation are unknown
        yield ["imported from", *(file or "-" for file in files)]
    for name, values in comparison["differences"].items():
        yield [name, *map(_value, values)]
    yield ["stored", *map(_stored, comparison["runs"])]
    for row in comparison["evaluations"]:
        yield [describe_protocol(row["protocol"]), *map(accuracy, row["accuracy"])]
        for name, label in (("random_subset", "  random subset"), ("paper", "  paper")):
            if any(row[name]):
                yield [label, *map(accuracy, row[name])]


def _value(value: Any) -> str:
    """A setting's value; of a list, the images of each class, its range."""
    return "-" if value is None else per_class(value) if isinstance(value, list) else str(value)


def _stored(run: Mapping[str, Any]) -> str:
    """The stored bytes, and the images of a parametrized set."""
    if "stored_bytes" not in run:  # its size is not recorded
        return "-"
    size = SetSize.from_json(run)
    stored = exact_size(size.stored_bytes.images)
    return stored if size.is_raw else f"{stored} ({size.images} images)"


def _remark(comparison: Mapping[str, Any]) -> str:
    """Say why parametrized sets have no accuracy of the paper, if others do."""
    papers = any(paper for row in comparison["evaluations"] for paper in row["paper"])
    parametrized = any(run.get("parametrization", "raw") != "raw" for run in comparison["runs"])
    return "The paper's accuracies are for raw sets." if papers and parametrized else ""
