"""The format of the files that are handed on: a number in each, so that a later one is refused in a sentence.

Files from elsewhere have none, nor have those written before there was one; they are read as format 1.
"""

from pathlib import Path

from rcig_cli.errors import Corrupt

FORMAT = 1
NAME = "rcig_format"
_DIGITS = 9


def check_format(path: Path, found: str | None) -> None:
    """Refuse a file that this version can't read.

    Parameters
    ----------
    path
        The file.
    found
        What it gives as its format; None if nothing.

    Raises
    ------
    Corrupt
        If that is no number from 1, or a later one than this version knows.
    """
    if found is None:
        return
    if not (found.isascii() and found.isdecimal() and len(found) <= _DIGITS and int(found) >= 1):
        raise Corrupt(f"{path} is damaged: its {NAME} should be a number from 1.")
    if int(found) > FORMAT:
        raise Corrupt(
            f"{path} was written by a newer rcig (format {found}); this one reads format {FORMAT}. "
            "Upgrade rcig-cli to use it."
        )
