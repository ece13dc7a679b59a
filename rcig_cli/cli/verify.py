"""``rcig verify``: whether everything in the store is still what was written."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.errors import Corrupt

if TYPE_CHECKING:
    from rcig_cli.store.audit import Finding


def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Data sets, runs, sweeps. Default: all.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Pass over the content of files larger than 1 MiB.")
    ] = False,
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Check every file against what vouches for it, and name what is damaged. Changes nothing.

    Example: rcig verify

    Leaves with 5 if something is damaged. Files that nothing vouches for are listed, and are no damage.
    """
    del debug
    here = context(store, json, quiet)
    from rcig_cli.jobs import verify as job

    artifacts = job.store_at(here.root)
    with here.console.working():
        look = job.verify(artifacts, names or [], here.console, quick=quick)
    document = {
        "ok": not look.problems,
        "checked": look.checked,
        "problems": [asdict(one) for one in look.problems],
        "orphans": [asdict(one) for one in look.orphans],
        "notes": [{"path": one.path, "note": one.problem} for one in look.notes],
    }
    lines = [*_lines("damaged", look.problems), *_lines("orphan", look.orphans), *_lines("note", look.notes)]
    sound = "all as it was written" if not look.problems else f"{_count(len(look.problems))} found"
    files = "1 file" if look.checked == 1 else f"{look.checked} files"
    here.console.data("\n".join([*lines, f"{files} checked, {sound}"]), document)
    if look.problems:
        raise typer.Exit(Corrupt.exit_code)
    if any("rcig gc" in one.problem for one in look.orphans):
        here.next("gc --dry-run")


def _count(problems: int) -> str:
    return "1 problem" if problems == 1 else f"{problems} problems"


def _lines(word: str, findings: "Sequence[Finding]") -> list[str]:
    return [f"{word}: {one.path} {one.problem}" for one in findings]
