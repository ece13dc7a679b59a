"""Room on the disk, and what takes it."""

import shutil
import stat
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


def bytes_of(path: Path) -> int:
    """Add up the sizes of the files under a path; a link counts as itself."""
    try:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            return status.st_size
        return sum(bytes_of(entry) for entry in path.iterdir())
    except OSError:  # gone, or not ours to look into
        return 0
