"""Where the store is, if none is given, and commands for a store."""

import os
import shlex
from pathlib import Path

STORE = "store.json"  # in the folder of every store

_DEFAULT = "artifacts"


def default_root() -> Path:
    """Return the folder of the store if none is given.

    It is ``$RCIG_STORE`` if that is set, or else ``artifacts`` in the current folder, or in the nearest
    folder above it that has a store of this name.
    """
    if given := os.environ.get("RCIG_STORE"):
        return Path(given)
    here = Path.cwd()
    if not (here / _DEFAULT).exists():
        for folder in here.parents:
            if (folder / _DEFAULT / STORE).exists():
                return folder / _DEFAULT
    return Path(_DEFAULT)


def command(words: str, root: Path) -> str:
    """Return a command as the user would type it, with ``--store`` if `root` isn't the default store."""
    elsewhere = "" if root == default_root() else f" --store {shlex.quote(str(root))}"
    return f"rcig {words}{elsewhere}"
