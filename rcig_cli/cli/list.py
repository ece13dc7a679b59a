"""``rcig list``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import (
    accuracy,
    decoded_per_class,
    describe_progress,
    exact_size,
    source_of,
)

if TYPE_CHECKING:
    from rcig_cli.reporting.compare import Headline
    from rcig_cli.store.progress import Progress
    from rcig_cli.store.records import DatasetManifest, GroupManifest, RunManifest
    from rcig_cli.store.store import Store

SORTS = ("name", "accuracy", "updated")
_OPTIONAL = ("updated (UTC)", "stored", "per class", "tags")  # columns, the least important first


@with_context
def list_all(
    here: Context,
    dataset: Annotated[
        str | None, typer.Option(metavar="DATASET", help="Only this data set, and what was made from it.")
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only runs with this tag.")] = None,
    sort: Annotated[
        str, typer.Option(metavar="|".join(SORTS), help="Order of the runs: the best or newest first.")
    ] = "name",
) -> None:
    """List the data sets, runs, sweeps and sequences of tasks of the store.

    Example: rcig list, or rcig list --dataset cifar10 --sort accuracy

    The accuracy is that of the newest evaluation by the default protocol. If a run has none, it is that of
    its newest evaluation, marked by *.
    """
    if sort not in SORTS:
        raise ConfigError(f"--sort must be {', '.join(SORTS[:-1])} or {SORTS[-1]}, not {sort}.")
    store = here.store()
    listings = store.datasets(), store.runs(), store.groups("sweep"), store.groups("sequence")
    if dataset is not None and all(run.dataset != dataset for run in listings[1].found):
        store.dataset(dataset)  # refuses an unknown one
    for listing in listings:
        for problem in listing.problems:
            here.console.warn(problem)
    datasets = [each for each in listings[0].found if dataset in (None, each.name)]
    found = [run for run in listings[1].found if dataset in (None, run.dataset)]
    rows = [
        _Row(
            store.with_current_status(run),
            _headline(store, run),
            store.progress(run),
        )
        for run in found
        if tag is None or tag in run.tags
    ]
    if sort == "accuracy":
        rows.sort(key=lambda row: -row.headline.evaluation["accuracy"]["mean"] if row.headline else 1)
    if sort == "updated":
        rows.sort(key=lambda row: row.run.updated, reverse=True)
    sweeps = [store.with_current_status(each) for each in listings[2].found if _is_listed(each, dataset, tag)]
    sequences = [
        store.with_current_status(each) for each in listings[3].found if _is_listed(each, dataset, tag)
    ]
    here.console.document(
        {
            "datasets": [dataset_summary(each) for each in datasets],
            "runs": [row.to_json() for row in rows],
            "sweeps": list(map(_group_summary, sweeps)),
            "sequences": list(map(_group_summary, sequences)),
        }
    )
    if not listings[0].found and not listings[1].found:
        here.console.note(f"There is nothing in {store.root} yet.")
        here.next("prepare digits")
    if datasets and tag is None:
        described = [
            (d.name, str(d.sizes["train"]), str(d.sizes["test"]), str(len(d.class_names)), _shape(d.shape))
            for d in datasets
        ]
        columns = ("data set", "training", "test", "classes", "shape")
        here.console.table(columns, described, optional=("shape", "test"))
    if rows:
        heads = ("run", "data set", "per class", "stored", "accuracy", "status", "updated (UTC)", "tags")
        here.console.table(heads, [row.cells() for row in rows], optional=_OPTIONAL)
    elif found:
        here.console.note(f"No run has the tag {tag}.")
    _list_groups(here, "sweep", sweeps)
    _list_groups(here, "sequence of tasks", sequences)


@dataclass(frozen=True)
class _Row:
    """A run, with its accuracy and its progress where there are any."""

    run: "RunManifest"
    headline: "Headline | None"
    progress: "Progress | None"

    def to_json(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        document = run_summary(self.run, self.progress)
        document |= self.run.size or {}
        for name in ("accuracy", "protocol"):
            document[name] = self.headline.evaluation[name] if self.headline else None
        return {**document, "tags": list(self.run.tags), "updated": self.run.updated}

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        run, headline = self.run, self.headline
        return (
            run.name,
            source_of(run.config),
            decoded_per_class(run.config),
            exact_size(run.size["stored_bytes"]["images"]) if run.size else "-",
            accuracy(headline.evaluation["accuracy"]) + ("" if headline.is_usual else " *")
            if headline
            else "-",
            status_of(run, self.progress),
            _minute(run.updated),
            " ".join(run.tags) or "-",
        )


def _headline(store: "Store", run: "RunManifest") -> "Headline | None":
    """Return the evaluation that stands for a run, without those that can't be read."""
    from rcig_cli.presets.config import DistillConfig
    from rcig_cli.reporting.compare import headline_of
    from rcig_cli.store.results import read_results

    found = read_results(store.run_path(run.name), "evaluations").found
    return headline_of(DistillConfig.from_stored(run.config), found)


def _is_listed(group: "GroupManifest", dataset: str | None, tag: str | None) -> bool:
    """Whether a sweep or sequence belongs to the chosen data set; none has tags."""
    return tag is None and (dataset is None or dataset in group.parents)


def _list_groups(here: Context, kind: str, groups: "Sequence[GroupManifest]") -> None:
    rows = [
        (g.name, g.dataset, f"{len(g.runs)}/{len(g.config['configurations'])}", g.status, _minute(g.updated))
        for g in groups
    ]
    if rows:
        here.console.table((kind, "data set", "runs", "status", "updated (UTC)"), rows, optional=_OPTIONAL)


def dataset_summary(dataset: "DatasetManifest") -> dict[str, Any]:
    """Describe a data set in JSON values."""
    return {
        "dataset": dataset.name,
        "train": dataset.sizes["train"],
        "test": dataset.sizes["test"],
        "classes": len(dataset.class_names),
        "shape": list(dataset.shape),
        "whitened": dataset.whitened,
    }


def run_summary(run: "RunManifest", progress: "Progress | None" = None) -> dict[str, Any]:
    """Describe a run in JSON values, with its progress if it is running."""
    live = {} if progress is None else {"progress": progress.to_json()}
    return {
        "run": run.name,
        "status": run.status,
        "step": step_of(run, progress),
        "dataset": run.dataset,
        "ipc": run.config["ipc"],
        **live,
    }


def step_of(run: "RunManifest", progress: "Progress | None") -> int:
    """Return the step that a run is at: of the process that writes it, or else of its last checkpoint."""
    from rcig_cli.store.progress import DISTILLING

    return progress.done if progress is not None and progress.label == DISTILLING else run.step


def status_of(run: "RunManifest", progress: "Progress | None") -> str:
    """Return the status of a run in words: ``"finished"``, ``"running: step 3 of 60, about 4 s left"``.

    The status in the manifest must be the current one.
    """
    if run.imported:
        return f"imported from {run.parents['file']['name']}"
    if run.status == "running":
        return f"running: {describe_progress(progress) if progress else 'starting'}"
    return "finished" if run.status == "finished" else f"{run.status} at {run.step}/{run.config['steps']}"


def _group_summary(group: "GroupManifest") -> dict[str, Any]:
    return {
        group.kind: group.name,
        "status": group.status,
        "dataset": group.dataset,
        "runs": list(group.runs),
    }


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
