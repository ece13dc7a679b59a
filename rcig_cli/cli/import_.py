"""``rcig import``: a distilled set made elsewhere, as a run."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.list import run_summary
from rcig_cli.cli.options import Context, with_context
from rcig_cli.reporting.formatting import describe_run


@with_context
def import_(
    here: Context,
    path: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A published checkpoint (Flax), .npz, .pt, .safetensors, .parquet, or a folder of pictures.",
        ),
    ],
    dataset: Annotated[
        str, typer.Option(metavar="NAME", help="The prepared data set that the set was distilled from.")
    ],
    space: Annotated[
        str | None,
        typer.Option(
            help="Whether the images are whitened, normalized (means and deviations removed) or pixels. "
            "Default: as the file states."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the new run. Default: derived from the file's name.")
    ] = None,
) -> None:
    """Import a distilled set as a run.

    Example: rcig import checkpoint_best --dataset cifar10 --name frepo
    """
    store = here.store()
    store.dataset(dataset)
    here.prepare_jax()
    from rcig_cli.runs.exchange.importing import import_set

    run, imported_as = import_set(store, path, dataset, space=space, name=name, report=here.console)
    document = {**run_summary(run), "space": imported_as}
    here.console.data(f"{run.name}: {describe_run(run)} as {imported_as}", document)
    here.next(f"evaluate {run.name}")
