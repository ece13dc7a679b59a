"""What tells a data set from another, or from itself at another time, without reading its images."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rcig_cli.data.sources.folder_layout import DEEPEST
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.errors import RcigError


def identity(source: ImageSource, path: Path | None) -> dict[str, Any]:
    """Describe a source as JSON values; another description means other data.

    Parameters
    ----------
    source
        The data set.
    path
        Where it was read from, if the user said: the sizes and times of its files count as well.

    Raises
    ------
    RcigError
        If the files can't be looked at.
    """
    return {
        "name": source.name,
        "class_names": list(source.class_names),
        "shape": list(source.shape),
        "sizes": dict(source.sizes),
        "notes": list(source.notes),
        "files": None if path is None else _files(path),
    }


def _files(path: Path) -> str:
    """A digest of the names, sizes and times of a file, or of all files in a folder."""
    found = hashlib.sha256()
    try:
        for file in _walk(path) if path.is_dir() else [path]:
            status = _status(file)
            name = os.fsencode(file.relative_to(path))
            found.update(b"%b\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    return found.hexdigest()


def _status(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError:
        return file.lstat()  # a link that leads nowhere is passed over, wherever images are looked for


def _walk(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        if len(Path(root).relative_to(folder).parts) > DEEPEST:
            folders.clear()
        yield from (Path(root, name) for name in sorted(names))
