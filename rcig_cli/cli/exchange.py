"""``rcig import`` and ``rcig export``: distilled sets from elsewhere, and for elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.reporting.formatting import count_of


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A published checkpoint (Flax), .npz, .pt, .safetensors, .parquet, or a folder of pictures.",
        ),
    ],
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="The prepared data set that it was distilled from.")
    ],
    space: Annotated[
        str | None,
        typer.Option(
            help="What its images are: whitened, normalized (means and deviations removed) or pixels. "
            "Default: what the file or its kind says."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name. Default: made from the file's.")] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Take in a distilled set made elsewhere, as a run like any other.

    Example: rcig import checkpoint_best --dataset cifar10 --name frepo
    """
    del debug
    here = context(store, json, quiet)
    artifacts = here.store()
    artifacts.dataset(dataset)
    here.prepare_jax()
    from rcig_cli.runs.exchange.importing import import_set

    run, was = import_set(artifacts, path, dataset, here.console, space=space, name=name)
    ipc = run.config["ipc"]
    here.console.data(
        f"{run.name}: {count_of(ipc, 'image')} per class of {run.dataset}, imported as {was}",
        {
            "run": run.name,
            "status": run.status,
            "step": run.step,
            "dataset": run.dataset,
            "ipc": ipc,
            "space": was,
        },
    )
    here.next(f"evaluate {run.name}")


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    form: Annotated[str, typer.Option("--format", help="npz, png, safetensors or parquet.")] = "npz",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The file, or for png and parquet the folder. Default: here, under the run's name."
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Hand a distilled set on: images, soft labels, class names and the whitening. Prints the path.

    Example: rcig export run_1 --format safetensors
    """
    del debug
    here = context(store, json, quiet)
    artifacts = here.store()
    artifacts.run(run)
    from rcig_cli.runs.distill.distilled import open_distilled
    from rcig_cli.runs.exchange.exporting import export_set

    path = export_set(open_distilled(artifacts, run), form, out)
    if form == "png":
        here.console.warn(
            "PNG holds 8 bits a channel: rounding and clipping lose some of what the set was optimised for, "
            "and networks trained on it may do worse. The other formats keep every bit."
        )
    here.console.data(str(path), {"run": run, "format": form, "files": [str(path)]})
