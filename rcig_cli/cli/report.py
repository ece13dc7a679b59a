"""``rcig report``."""

from pathlib import Path
from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context


@with_context
def report(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file. Default: figures/report.html in the run's folder.")
    ] = None,
) -> None:
    """Write a self-contained HTML page about a run: figures, accuracies, settings, commands.

    Example: rcig report run_1 --out run_1.html
    """
    store = here.store()
    from rcig_cli.runs.engine.environment import prepare_jax

    prepare_jax()  # imported by what follows, though not used
    from rcig_cli.reporting.html_report import write_report
    from rcig_cli.runs.distill.distilled import open_distilled

    distilled = open_distilled(store, run)
    path = write_report(distilled, report=here.console, out=out)
    here.console.data(str(path), {"run": distilled.run.name, "files": [str(path)]})
