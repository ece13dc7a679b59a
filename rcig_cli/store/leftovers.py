"""What killed writers leave behind: asides nobody holds any more, and folders set aside while replaced."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from rcig_cli.store.asides import ASIDE, is_dead, is_plain_folder, remove_if_dead
from rcig_cli.store.files import REPLACED, remove_folder

PARTIAL = ".partial-"  # before a data set's name, while it is being prepared

_REPLACED = re.compile(re.escape(REPLACED) + r"(.+)-[0-9a-f]{16}")
_YOUNG = 0.2  # seconds in which a writer has certainly locked what it has made
_SETTLED = 60.0  # seconds in which it has certainly done with what it has replaced


def is_leftover_name(name: str) -> bool:
    """Whether a name is one that writers use on the way."""
    return name.startswith((ASIDE, REPLACED))


def is_left(path: Path) -> bool:
    """Whether something under such a name is rubbish: its writer is dead, and nobody needs it."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    if path.is_symlink():
        return True  # no writer makes one
    age = time.time() - status.st_ctime
    if path.name.startswith(ASIDE):
        time.sleep(max(0.0, min(_YOUNG, _YOUNG - age)))
        return is_dead(path)
    return age > _SETTLED and lost(path) is None


def lost(path: Path) -> Path | None:
    """Return what is gone from its place because a writer died while it replaced it.

    Parameters
    ----------
    path
        Anything.

    Returns
    -------
    Path or None
        Where the folder at `path` belongs, if nothing is there; None if all is well.
    """
    match = _REPLACED.fullmatch(path.name)
    if match is None:
        return None
    place = path.parent / match[1]
    return place if not place.exists() and path.exists() else None


def leftovers(folder: Path) -> Iterator[Path]:
    """Find the rubbish in a folder and those below it; no link is followed, and no array entered."""
    for path in sorted(folder.iterdir()) if is_plain_folder(folder) else []:
        if is_leftover_name(path.name):
            if is_left(path):
                yield path
        elif path.suffix != ".zarr" and path.name != "state":
            yield from leftovers(path)


def remove_leftover(path: Path) -> bool:
    """Remove one of `leftovers`, unless a writer has it by now; return whether it is gone."""
    if path.name.startswith(ASIDE) and not path.is_symlink():
        remove_if_dead(path)
    elif is_left(path):
        remove_folder(path)
    return not os.path.lexists(path)
