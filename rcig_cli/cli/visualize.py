"""``rcig visualize``."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context


@with_context
def visualize(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    grid: Annotated[
        bool,
        typer.Option(
            "--grid", help="All images, decoded, with their class names, in natural colours (the default)."
        ),
    ] = False,
    labels: Annotated[bool, typer.Option("--labels", help="The learned soft labels, as a heat map.")] = False,
    stored: Annotated[
        bool,
        typer.Option(
            "--stored", help="What a parametrized set stores, each array scaled to its own range of values."
        ),
    ] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Loss, accuracy and other metrics of each outer step.")
    ] = False,
    animate: Annotated[
        bool, typer.Option("--animate", help="Animate the images over the course of the distillation (GIF).")
    ] = False,
    compare: Annotated[
        str | None, typer.Option(metavar="RUN", help="Compare with another run of the same data set.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The file, or the folder for several. Default: figures in the run's folder."),
    ] = None,
) -> None:
    """Draw a distilled set, and print the paths of the figures.

    Example: rcig visualize run_1 --grid --labels --out pictures/
    """
    store = here.store()
    from rcig_cli.runs.engine.environment import prepare_jax

    prepare_jax()  # imported by what follows, though not used
    from rcig_cli.reporting.visualize import visualize
    from rcig_cli.runs.distill.distilled import open_distilled

    flags = {"grid": grid, "labels": labels, "stored": stored, "curves": curves, "animate": animate}
    kinds = [kind for kind, wanted in flags.items() if wanted] + ["compare"] * (compare is not None)
    other = open_distilled(store, compare) if compare is not None else None
    distilled = open_distilled(store, run)
    paths = visualize(distilled, kinds or ["grid"], other=other, out=out)
    files = [str(path) for path in paths]
    here.console.data("\n".join(files), {"run": distilled.run.name, "files": files})
