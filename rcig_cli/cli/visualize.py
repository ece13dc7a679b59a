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
    labels: Annotated[bool, typer.Option("--labels", help="The learned soft labels, as a heat map.")] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Loss, accuracy, gradients and learning rates over the steps.")
    ] = False,
    animate: Annotated[
        bool, typer.Option("--animate", help="The images as they came about, as a GIF.")
    ] = False,
    compare: Annotated[
        str | None, typer.Option(metavar="RUN", help="Beside another run of the same data set, by class.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file, or the folder for several. Default: figures in the run's folder."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Draw a distilled set, and print the paths of the pictures.

    Example: rcig visualize run_1 --grid --labels --out pictures/
    """
    del debug
    here = context(store, json, quiet)
    artifacts = here.store()
    artifacts.run(run)
    from rcig_cli.reporting import visualize as job
    from rcig_cli.runs.distill.distilled import open_distilled

    chosen = {
        "grid": grid,
        "labels": labels,
        "curves": curves,
        "animate": animate,
        "compare": compare is not None,
    }
    kinds = [kind for kind, wanted in chosen.items() if wanted] or ["grid"]
    other = open_distilled(artifacts, compare) if compare is not None else None
    paths = job.visualize(open_distilled(artifacts, run), kinds, other=other, out=out)
    files = [str(path) for path in paths]
    here.console.data("\n".join(files), {"run": run, "files": files})
