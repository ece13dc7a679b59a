"""A million paths in one folder, in about as many bytes as their names have."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path


class PathList:
    """Paths inside one folder, in their order.

    Each is kept as the bytes of what follows the folder's own path; a ``Path`` takes some 300 bytes, which
    for ImageNet's 1.28 million files would be more than all images that are in memory at a time.

    Parameters
    ----------
    root
        The folder.
    paths
        Paths that begin with it.

    Raises
    ------
    ValueError
        If one doesn't.
    """

    def __init__(self, root: Path, paths: Iterable[Path]) -> None:
        self._root = root
        content, self._ends = bytearray(), array("q", [0])
        for path in paths:
            content += os.fsencode(path.relative_to(root))
            self._ends.append(len(content))
        self._content = bytes(content)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Path:
        return self._root / os.fsdecode(self._content[self._ends[index] : self._ends[index + 1]])

    def __iter__(self) -> Iterator[Path]:
        return (self[index] for index in range(len(self)))

    def select(self, index: Iterable[int]) -> PathList:
        """Give the paths at the positions ``index``."""
        return PathList(self._root, (self[position] for position in index))
