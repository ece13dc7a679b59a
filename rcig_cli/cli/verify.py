"""``rcig verify``: compare every file with its recorded checksum."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import Corrupt
from rcig_cli.reporting.formatting import count_of

if TYPE_CHECKING:
    from rcig_cli.runs.housekeeping.verify import Finding

_ALIKE = 3  # notes with the same text that are printed; further ones are counted


@with_context
def verify(
    here: Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Data sets, runs, sweeps, sequences. Default: all."),
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

    with here.console.working():
        found = job.verify(here.root, names or [], here.console, quick=quick)
    problems, orphans, notes = (found.of_kind(kind) for kind in ("problem", "orphan", "note"))
    document = {
        "ok": not problems,
        "checked": found.checked,
        "problems": [{"path": one.path, "problem": one.text} for one in problems],
        "orphans": [{"path": one.path, "problem": one.text} for one in orphans],
        "notes": [{"path": one.path, "note": one.text} for one in notes],
    }
    lines = [*_lines("damaged", problems), *_lines("orphan", orphans), *_notes(notes)]
    result = f"{count_of(len(problems), 'problem')} found" if problems else "no damage found"
    here.console.data("\n".join([*lines, f"{count_of(found.checked, 'file')} checked, {result}"]), document)
    if problems:
        raise typer.Exit(Corrupt.exit_code)
    if any("rcig gc" in one.text for one in orphans):
        here.next("gc --dry-run")


def _notes(notes: "Sequence[Finding]") -> list[str]:
    """Return a line for each note; of many with the same text, for the first few and their number."""
    lines = []
    for text in dict.fromkeys(one.text for one in notes):
        alike = [one for one in notes if one.text == text]
        lines += _lines("note", alike[:_ALIKE])
        if len(alike) > _ALIKE:
            lines.append(f"note: {len(alike) - _ALIKE} more like this one (--json lists all)")
    return lines


def _lines(word: str, findings: "Sequence[Finding]") -> list[str]:
    return [f"{word}: {one.path} {one.text}" for one in findings]
