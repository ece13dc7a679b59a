"""``rcig visualize``."""

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


def visualize(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    grid: Annotated[
        bool,
        typer.Option("--grid", help="All images with their class names, in natural colours (the default)."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The file. Default: in the run's folder.")] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw a distilled set, and print the picture's path.

    Example: rcig visualize run_1 --grid --out digits.png
    """
    del debug, grid
    here = context(store, json, quiet)
    artifacts = here.store()
    from rcig_cli.jobs import visualize as job
    from rcig_cli.jobs.distilled import open_distilled

    path = job.grid(open_distilled(artifacts, run), out)
    here.console.data(str(path), {"run": run, "files": [str(path)]})
