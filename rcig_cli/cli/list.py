"""``rcig list``."""

from typing import TYPE_CHECKING, Any

from rcig_cli.cli.options import Context, with_context
from rcig_cli.reporting.formatting import decoded_per_class, exact_size, source_of

if TYPE_CHECKING:
    from rcig_cli.presets.set_size import SetSize
    from rcig_cli.store.records import DatasetManifest, RunManifest


@with_context
def list_all(here: Context) -> None:
    """List the data sets, runs and sweeps of the store.

    Example: rcig list
    """
    from rcig_cli.runs.sizes import size_of_run

    store = here.store()
    datasets, runs, sweeps = store.datasets(), store.runs(), store.sweeps()
    current = [store.with_current_status(run) for run in runs.found]
    sizes = [size_of_run(store, run) for run in current]
    current_sweeps = [store.with_current_status(sweep) for sweep in sweeps.found]
    for problem in (*datasets.problems, *runs.problems, *sweeps.problems):
        here.console.warn(problem.message)
    here.console.document(
        {
            "datasets": [dataset_summary(each) for each in datasets.found],
            "runs": [
                {**run_summary(run), **(size.to_json() if size else {})}
                for run, size in zip(current, sizes, strict=True)
            ],
            "sweeps": [
                {"sweep": each.name, "status": each.status, "dataset": each.dataset, "runs": list(each.runs)}
                for each in current_sweeps
            ],
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
        here.console.table(("data set", "training", "test", "classes", "shape"), rows)
    if runs.found:
        run_rows = [
            (run.name, source_of(run.config), decoded_per_class(run.config), _stored(size), _status(run),
             _minute(run.updated))
            for run, size in zip(current, sizes, strict=True)
        ]  # fmt: skip
        here.console.table(("run", "data set", "per class", "stored", "status", "updated (UTC)"), run_rows)
    if sweeps.found:
        rows = [
            (s.name, s.dataset, f"{len(s.runs)}/{len(s.config['configurations'])}", s.status,
             _minute(s.updated))
            for s in current_sweeps
        ]  # fmt: skip
        here.console.table(("sweep", "data set", "runs", "status", "updated (UTC)"), rows)


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
