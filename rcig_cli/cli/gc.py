"""``rcig gc``: delete old checkpoints and temporary files."""

from typing import Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.cli.rm import YesOption, confirm
from rcig_cli.reporting.formatting import size


@with_context
def gc(
    here: Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    checkpoints: Annotated[
        bool,
        typer.Option(
            "--checkpoints",
            help="Also delete the last checkpoint of each finished run, from which it could be continued.",
        ),
    ] = False,
    preparations: Annotated[
        bool,
        typer.Option("--preparations", help="Also delete stopped preparations, which could be resumed."),
    ] = False,
    yes: YesOption = False,
) -> None:
    """Delete old checkpoints of finished runs, and temporary files left by crashed processes.

    Example: rcig gc --dry-run

    Checkpoints of unfinished runs are kept, and so are files that rcig didn't write.
    """
    from rcig_cli.runs.housekeeping.gc import find_garbage, remove_garbage

    artifacts = here.store()
    found = find_garbage(artifacts, checkpoints=checkpoints, preparations=preparations)
    for one in found:
        here.console.note(f"{one.path.relative_to(artifacts.root)}: {one.reason}, {size(one.bytes)}")
    if dry_run or not found:
        removed = found
    else:
        confirm(here, "Delete all of this permanently?", yes)
        with here.console.working():
            removed = remove_garbage(artifacts, found, here.console)
    listed = [
        {"path": str(one.path.relative_to(artifacts.root)), "reason": one.reason, "bytes": one.bytes}
        for one in removed
    ]
    total = sum(one.bytes for one in removed)
    verb = "would remove" if dry_run else "removed"
    text = f"{verb} {len(removed)} folders and files: {size(total)}" if removed else "nothing to remove"
    here.console.data(text, {"dry_run": dry_run, "removed": listed, "bytes": total})
    if dry_run and removed:
        flags = {"--checkpoints": checkpoints, "--preparations": preparations}
        here.next(" ".join(["gc", *(flag for flag, given in flags.items() if given)]))
