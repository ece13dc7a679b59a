"""``rcig verify``: compare every file with its recorded checksum."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import Corrupt
from rcig_cli.reporting.formatting import count_of

if TYPE_CHECKING:
    from rcig_cli.store.audit import Finding

_ALIKE = 3  # notes with the same text that are printed; further ones are counted


@with_context
def verify(
    here: Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Data sets, runs, sweeps. Default: all.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Skip the content of files larger than 1 MiB.")
    ] = False,
) -> None:
    """Check every file against its recorded checksum, and name the damaged ones. Changes nothing.

    Example: rcig verify

    Exits with code 5 if something is damaged. Files without a recorded checksum are listed,
    but do not count as damage.
    """
    from rcig_cli.runs.housekeeping import verify as job

    artifacts = job.open_damaged(here.root)
    with here.console.working():
        found = job.verify(artifacts, names or [], here.console, quick=quick)
    document = {
        "ok": not found.problems,
        "checked": found.checked,
        "problems": [asdict(one) for one in found.problems],
        "orphans": [asdict(one) for one in found.orphans],
        "notes": [{"path": one.path, "note": one.problem} for one in found.notes],
    }
    lines = [*_lines("damaged", found.problems), *_lines("orphan", found.orphans), *_notes(found.notes)]
    result = f"{count_of(len(found.problems), 'problem')} found" if found.problems else "no damage found"
    here.console.data("\n".join([*lines, f"{count_of(found.checked, 'file')} checked, {result}"]), document)
    if found.problems:
        raise typer.Exit(Corrupt.exit_code)
    if any("rcig gc" in one.problem for one in found.orphans):
        here.next("gc --dry-run")


def _notes(notes: "Sequence[Finding]") -> list[str]:
    """Return a line for each note; of many with the same text, for the first few and their number."""
    alike = Counter(one.problem for one in notes)
    seen: Counter[str] = Counter()
    lines = []
    for one in notes:
        seen[one.problem] += 1
        if seen[one.problem] <= _ALIKE:
            lines += _lines("note", [one])
        if seen[one.problem] == _ALIKE and alike[one.problem] > _ALIKE:
            lines.append(f"note: {alike[one.problem] - _ALIKE} more like this one (--json lists all)")
    return lines


def _lines(word: str, findings: "Sequence[Finding]") -> list[str]:
    return [f"{word}: {one.path} {one.problem}" for one in findings]
