"""``rcig watch``: follow a run that another process works on."""

import time
from typing import Annotated

import typer

from rcig_cli.cli.list import run_summary, status_of
from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import RcigError
from rcig_cli.reporting.formatting import describe_run

_EVERY = 0.5  # seconds


@with_context
def watch(
    here: Context,
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or newest.")] = "newest",
) -> None:
    """Follow the progress of a run until it ends. Ctrl-C ends the watching, not the run.

    Example: rcig watch run_1

    Exits with code 0 if the run is finished, and with 1 if it was stopped or diverged.
    """
    store = here.store()
    name = store.run(run).name
    with here.console.working():
        while True:
            manifest = store.with_current_status(store.run(name))
            if manifest.status != "running":
                break
            progress = store.progress(manifest)
            if progress is not None:
                label = f"{name}: {progress.label}"
                here.console.progress(label, progress.done, progress.total, progress.values)
            time.sleep(_EVERY)
    if manifest.status == "failed":
        raise RcigError(
            f"{name} diverged: {here.command(f'show {name}')} says at which step. To go on, resume it with a "
            "lower learning rate."
        )
    if manifest.status != "finished":
        resume = here.command(f"distill --resume {name}")
        raise RcigError(f"{name} is {status_of(manifest, None)}. To resume: {resume}")
    here.console.data(f"{name}: {describe_run(manifest)}, finished", run_summary(manifest))
    here.next(f"evaluate {name}")
