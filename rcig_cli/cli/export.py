"""``rcig export``: a run's distilled set, in a format that other programs read."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.data.exchange.formats import EXPORTS


@with_context
def export(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    form: Annotated[str, typer.Option("--format", metavar="|".join(EXPORTS), help="File format.")] = "npz",
    out: Annotated[
        Path | None,
        typer.Option(
            help="The new file, or for png and parquet the new folder. "
            "Default: in the current folder, named after the run."
        ),
    ] = None,
) -> None:
    """Export a distilled set: images, soft labels, class names and the whitening. Prints the path.

    Example: rcig export run_1 --format safetensors
    """
    store = here.store()
    store.run(run)
    from rcig_cli.runs.exchange.exporting import export_set

    path = export_set(store, run, out, format=form)
    if EXPORTS[form].lossy:
        here.console.warn(
            "PNG has 8 bits a channel: the images were rounded and clipped, and networks trained on them may "
            "be less accurate. The other formats are exact."
        )
    here.console.data(str(path), {"run": run, "format": form, "files": [str(path)]})
