"""``rcig export``: a run's distilled set, in a format that other programs read."""

import math
import sys
from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.data.exchange.formats import EXPORTS
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import size
from rcig_cli.store.records import DatasetManifest

_LARGE = 10**6  # bytes


@with_context
def export(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="|".join(EXPORTS),
            help="File format. Default: by the ending of --out, else npz.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The new file or folder; - writes a file to stdout. "
            "Default: in the current folder, named after the run."
        ),
    ] = None,
    whitening: Annotated[
        bool,
        typer.Option(
            "--whitening/--no-whitening",
            help="Export the whitening too, which others need for the test images. Default: yes.",
            show_default=False,
        ),
    ] = True,
) -> None:
    """Export a distilled set: images, soft labels, class names and the whitening. Prints the path.

    Of a parametrized set the images are decoded; all formats but png and dd-ranking also have what it stores.

    Example: rcig export run_1 --format safetensors
    """
    store = here.store()
    run_record = store.run(run)
    run = run_record.name
    from rcig_cli.runs.exchange.exporting import export_set, export_to_stream

    if out == Path("-"):
        if here.console.json or sys.stdout.isatty():
            raise ConfigError("--out - writes binary data to stdout: redirect it, and leave out --json.")
        export_to_stream(store, run, sys.stdout.buffer, format=form, whitening=whitening)
        return
    path, chosen = export_set(store, run, out, format=form, whitening=whitening)
    if chosen.lossy:
        here.console.warn(
            "PNG has 8 bits a channel: the images were rounded and clipped, and networks trained on them may "
            "be less accurate. Formats that are exact: npz, safetensors, torch, parquet."
        )
    if not chosen.keeps_stored and run_record.config.get("parametrization", "raw") != "raw":
        here.console.note(
            f"Only the decoded images were exported, not what {run} stores. Formats that have both: npz, "
            "safetensors, torch, parquet."
        )
    of_whitening = _whitening_bytes(store.dataset(run_record.dataset))
    if whitening and of_whitening > _LARGE and chosen.keeps_stored:
        here.console.note(
            f"The whitening takes {size(of_whitening)} of the export; --no-whitening leaves it out."
        )
    here.console.data(str(path), {"run": run, "format": chosen.name, "files": [str(path)]})


def _whitening_bytes(dataset: DatasetManifest) -> int:
    """Return the bytes of the arrays of a data set's whitening, float32."""
    from rcig_cli.data.whitening.whitening import array_shapes

    shapes = array_shapes(dataset.shape, dataset.sizes["train"], whiten=dataset.whitened)
    return 4 * sum(map(math.prod, shapes.values()))
