"""``rcig rm`` and ``rcig gc``: making room, after asking."""

import sys
from typing import Annotated

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    Context,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import size

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]


def rm(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="Data sets, runs, sweeps (these without their runs)."),
    ],
    yes: YesOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Remove a data set even if there are runs that need it.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove data sets, runs or sweeps for good. Shows what and how much, and asks first.

    Example: rcig rm run_3 run_4
    """
    del debug
    here = context(store, json, quiet)
    from rcig_cli.runs.housekeeping.housekeeping import plan_removal, remove

    doomed = plan_removal(here.store(), names, force=force)
    for one in doomed:
        kind, remark = one.artifact.kind, f"  {one.remark}" if one.remark else ""
        here.console.note(f"{one.artifact.name}: a {kind} of {size(one.bytes)}.{remark}")
    total = sum(one.bytes for one in doomed)
    _ask(here, f"Remove {'it' if len(doomed) == 1 else 'them'} for good?", yes)
    for one in doomed:
        remove(one)
    listed = [{"name": d.artifact.name, "kind": d.artifact.kind, "bytes": d.bytes} for d in doomed]
    removed = ", ".join(one.artifact.name for one in doomed)
    here.console.data(f"removed {removed}: {size(total)}", {"removed": listed, "bytes": total})


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    preparations: Annotated[
        bool,
        typer.Option("--preparations", help="Also data sets half prepared, which prepare could go on with."),
    ] = False,
    yes: YesOption = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove what nobody needs: checkpoints of finished runs, and what killed processes left behind.

    Example: rcig gc --dry-run

    Runs that aren't finished keep theirs, and files that rcig didn't write stay where they are.
    """
    del debug
    here = context(store, json, quiet)
    from rcig_cli.runs.housekeeping.housekeeping import collect, find_garbage

    artifacts = here.store()
    found = find_garbage(artifacts, preparations=preparations)
    for one in found:
        here.console.note(f"{one.path.relative_to(artifacts.root)}: {one.reason}, {size(one.bytes)}")
    if dry_run or not found:
        gone = found
    else:
        _ask(here, "Remove all this for good?", yes)
        with here.console.working():
            gone = collect(artifacts, found, here.console)
    listed = [
        {"path": str(one.path.relative_to(artifacts.root)), "reason": one.reason, "bytes": one.bytes}
        for one in gone
    ]
    total = sum(one.bytes for one in gone)
    would = "would remove" if dry_run else "removed"
    text = f"{would} {len(gone)} folders and files: {size(total)}" if gone else "nothing to remove"
    here.console.data(text, {"dry_run": dry_run, "removed": listed, "bytes": total})
    if dry_run and gone:
        here.next("gc --preparations" if preparations else "gc")


def _ask(here: Context, question: str, yes: bool) -> None:
    """Go on only if the user wants it."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            "There is no terminal to ask on, so nothing was removed: add --yes to remove it unasked."
        )
    if not here.console.agrees(question):
        here.console.note("Nothing was removed.")
        raise typer.Exit(1)
