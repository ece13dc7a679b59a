"""``rcig list``."""

from typing import TYPE_CHECKING, Any

from rcig_cli.cli.options import Context, with_context
from rcig_cli.reporting.formatting import decoded_per_class, exact_size, source_of

if TYPE_CHECKING:
    from rcig_cli.presets.set_size import SetSize
    from rcig_cli.store.records import DatasetManifest, RunManifest, SequenceManifest, SweepManifest

_OPTIONAL = ("updated (UTC)", "stored")  # columns, the least important first


@with_context
def list_all(here: Context) -> None:
    """List the data sets, runs, sweeps and sequences of tasks of the store.

    Example: rcig list
    """
    from rcig_cli.runs.sizes import size_of_run

    store = here.store()
    datasets, runs, sweeps, sequences = store.datasets(), store.runs(), store.sweeps(), store.sequences()
    current = [store.with_current_status(run) for run in runs.found]
    sizes = [size_of_run(store, run) for run in current]
    current_sweeps = [store.with_current_status(sweep) for sweep in sweeps.found]
    current_sequences = [store.with_current_status(sequence) for sequence in sequences.found]
    for problem in (*datasets.problems, *runs.problems, *sweeps.problems, *sequences.problems):
        here.console.warn(problem.message)
    here.console.document(
        {
            "datasets": [dataset_summary(each) for each in datasets.found],
            "runs": [
                {**run_summary(run), **(size.to_json() if size else {})}
                for run, size in zip(current, sizes, strict=True)
            ],
            "sweeps": list(map(_group_summary, current_sweeps)),
            "sequences": list(map(_group_summary, current_sequences)),
        }
    )
    if not datasets.found and not runs.found:
        here.console.note(f"There is nothing in {store.root} yet.")
        here.next("prepare digits")
    if datasets.found:
        rows = [
            (d.name, str(d.sizes["train"]), str(d.sizes["test"]), str(len(d.class_names)), _shape(d.shape))
            for d in datasets.found
        ]
        here.console.table(
            ("data set", "training", "test", "classes", "shape"), rows, optional=("shape", "test")
        )
    if runs.found:
        run_rows = [
            (run.name, source_of(run.config), decoded_per_class(run.config), _stored(size), _status(run),
             _minute(run.updated))
            for run, size in zip(current, sizes, strict=True)
        ]  # fmt: skip
        here.console.table(
            ("run", "data set", "per class", "stored", "status", "updated (UTC)"),
            run_rows,
            optional=_OPTIONAL,
        )
    for kind, groups in (("sweep", current_sweeps), ("sequence of tasks", current_sequences)):
        if groups:
            rows = [
                (g.name, g.dataset, f"{len(g.runs)}/{len(g.config['configurations'])}", g.status,
                 _minute(g.updated))
                for g in groups
            ]  # fmt: skip
            here.console.table(
                (kind, "data set", "runs", "status", "updated (UTC)"), rows, optional=_OPTIONAL
            )


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


def run_summary(run: "RunManifest") -> dict[str, Any]:
    """Describe a run in JSON values."""
    return {
        "run": run.name,
        "status": run.status,
        "step": run.step,
        "dataset": run.dataset,
        "ipc": run.config["ipc"],
    }


def _group_summary(group: "SweepManifest | SequenceManifest") -> dict[str, Any]:
    return {
        group.kind: group.name,
        "status": group.status,
        "dataset": group.dataset,
        "runs": list(group.runs),
    }


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _stored(size: "SetSize | None") -> str:
    return exact_size(size.stored_bytes.images) if size else "-"


def _status(run: "RunManifest") -> str:
    if run.imported:
        return f"imported from {run.parents['file']['name']}"
    return "finished" if run.status == "finished" else f"{run.status} at {run.step}/{run.config['steps']}"


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")
