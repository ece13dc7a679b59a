"""``rcig verify``: whether everything in the store is still what was written."""

from collections import Counter
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
from rcig_cli.reporting.formatting import count_of

if TYPE_CHECKING:
    from rcig_cli.store.audit import Finding

_ALIKE = 3  # notes that say the same, before the rest are only counted


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
    from rcig_cli.runs.housekeeping import verify as job

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
    lines = [*_lines("damaged", look.problems), *_lines("orphan", look.orphans), *_notes(look.notes)]
    sound = f"{count_of(len(look.problems), 'problem')} found" if look.problems else "all as it was written"
    here.console.data("\n".join([*lines, f"{count_of(look.checked, 'file')} checked, {sound}"]), document)
    if look.problems:
        raise typer.Exit(Corrupt.exit_code)
    if any("rcig gc" in one.problem for one in look.orphans):
        here.next("gc --dry-run")


def _notes(notes: "Sequence[Finding]") -> list[str]:
    """A line for each, or for the first few of many that say the same."""
    alike = Counter(one.problem for one in notes)
    seen: Counter[str] = Counter()
    lines = []
    for one in notes:
        seen[one.problem] += 1
        if seen[one.problem] <= _ALIKE:
            lines += _lines("note", [one])
        if seen[one.problem] == _ALIKE and alike[one.problem] > _ALIKE:
            lines.append(f"note: {alike[one.problem] - _ALIKE} more like this one (--json names them all)")
    return lines


def _lines(word: str, findings: "Sequence[Finding]") -> list[str]:
    return [f"{word}: {one.path} {one.problem}" for one in findings]
