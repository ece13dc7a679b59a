"""``rcig report``."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import ConfigError


@with_context
def report(
    here: Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="A finished run.")] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Write a gallery instead: pictures and accuracies of all finished runs."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The HTML file. Default: figures/report.html in the run's folder; with --all, gallery.html "
            "in the store's folder."
        ),
    ] = None,
) -> None:
    """Write a self-contained HTML page about a run: figures, accuracies, settings, commands.

    Example: rcig report run_1 --out run_1.html, or rcig report --all
    """
    if every == (run is not None):
        raise ConfigError("Name a finished run for a report on it, or pass --all for a gallery of all runs.")
    store = here.store()
    from rcig_cli.runs.engine.environment import prepare_jax

    prepare_jax()  # imported by what follows, though not used
    if run is None:
        from rcig_cli.reporting.gallery import write_gallery

        with here.console.working():
            path, runs = write_gallery(store, report=here.console, out=out)
        here.console.data(str(path), {"runs": runs, "files": [str(path)]})
        return
    from rcig_cli.reporting.html_report import write_report
    from rcig_cli.runs.distill.distilled import open_distilled

    distilled = open_distilled(store, run)
    path = write_report(distilled, report=here.console, out=out)
    here.console.data(str(path), {"run": distilled.run.name, "files": [str(path)]})
