"""``rcig report``."""

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


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A finished run.")],
    out: Annotated[
        Path | None, typer.Option(help="The HTML file. Default: figures/report.html in the run's folder.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Write all about a run on one HTML page, which needs no network: pictures, accuracies, commands.

    Example: rcig report run_1 --out run_1.html
    """
    del debug
    here = context(store, json, quiet)
    artifacts = here.store()
    artifacts.run(run)
    from rcig_cli.reporting.html_report import write_report
    from rcig_cli.runs.distill.distilled import open_distilled

    path = write_report(open_distilled(artifacts, run), report=here.console, out=out)
    here.console.data(str(path), {"run": run, "files": [str(path)]})
