"""``rcig rm``: delete data sets, runs, sweeps and sequences of tasks."""

import sys
from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import size

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


@with_context
def rm(
    here: Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...", help="Data sets, runs; sweeps and sequences of tasks (their runs are kept)."
        ),
    ],
    yes: YesOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete a data set even if runs in the store need it.")
    ] = False,
) -> None:
    """Delete data sets, runs, sweeps or sequences permanently. Shows their sizes and asks first.

    Example: rcig rm run_3 run_4
    """
    from rcig_cli.runs.housekeeping.remove import plan_removal, remove

    store = here.store()
    removals = plan_removal(store, names, force=force)
    for one in removals:
        kind, remark = one.artifact.kind, f"  {one.remark}" if one.remark else ""
        here.console.note(f"{one.artifact.name}: a {kind} of {size(one.bytes)}.{remark}")
    total = sum(one.bytes for one in removals)
    confirm(here, f"Delete {'it' if len(removals) == 1 else 'them'} permanently?", yes)
    for one in removals:
        remove(store, one)
    listed = [{"name": r.artifact.name, "kind": r.artifact.kind, "bytes": r.bytes} for r in removals]
    removed = ", ".join(one.artifact.name for one in removals)
    here.console.data(f"removed {removed}: {size(total)}", {"removed": listed, "bytes": total})


def confirm(here: Context, question: str, yes: bool) -> None:
    """Ask the user unless `yes`; end the command with code 1 if the answer isn't yes.

    Raises
    ------
    ConfigError
        If there is no terminal to ask on.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("There is no terminal for a confirmation: pass --yes to remove without one.")
    if not here.console.agrees(question):
        here.console.note("Nothing was removed.")
        raise typer.Exit(1)
