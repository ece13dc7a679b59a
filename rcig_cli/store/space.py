"""Room on the disk."""

import os
import shutil
from pathlib import Path

from rcig_cli.store.files import storage_errors


def free_bytes(folder: Path) -> int:
    """Return how many bytes can still be written where a folder is, or would be.

    Raises
    ------
    RcigError
        If the system doesn't say.
    """
    with storage_errors(folder, "read"):
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free


def size_in_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 if there is none.

    Raises
    ------
    RcigError
        If it can't be read.
    """
    with storage_errors(folder, "read"):
        return sum(Path(root, name).stat().st_size for root, _, names in os.walk(folder) for name in names)
