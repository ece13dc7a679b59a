"""Snapshots of the distilled images during a run, for an animation.

A run takes some forty snapshots, at geometrically growing intervals, since images change most at the
beginning.  Snapshots are kept in memory until a checkpoint is saved and are written just before it, so that a
run resumed from a checkpoint has those up to its step, and ends with the same ones as an uninterrupted run.

``snapshots.npz`` has ``steps [k]``, ``indices [m]`` (which of the distilled images) and ``images
[k, m, H, W, c]`` as the network sees them, in half precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.store.arrays import read_npz, write_npz

SNAPSHOTS = "snapshots.npz"

_COUNT = 40
_PER_CLASS = 10
_NUMBERS = 2**19  # in one snapshot, at most: 1 MiB, 40 in all
_HALF = np.float16
_LARGEST = float(np.finfo(_HALF).max)


@dataclass(frozen=True, eq=False)
class Course:
    """The snapshots of a run, in the order of the steps; the module describes the arrays."""

    steps: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    images: npt.NDArray[np.float16]


class Snapshots:
    """The snapshots of the run in the folder ``path``, in progress."""

    def __init__(self, path: Path, *, steps: int, counts: Sequence[int], shape: tuple[int, int, int]) -> None:
        self._path = path
        self._due = due_steps(steps)
        self._indices = kept_indices(counts, shape)
        self._shape = (len(self._indices), *shape)
        self._taken: dict[int, npt.NDArray[np.float16]] = {}
        self._written = True

    def until(self, step: int) -> int:
        """Return the outer steps from ``step`` to the next snapshot; the last step has one."""
        return next(due for due in self._due if due > step) - step

    def due(self, step: int) -> bool:
        """Whether a snapshot is to be taken after ``step`` outer steps."""
        return step in self._due

    def add(self, step: int, images: npt.NDArray[Any]) -> None:
        """Take a snapshot of the distilled images ``[n, H, W, c]``."""
        kept = images[self._indices]
        self._taken[step] = np.clip(kept, -_LARGEST, _LARGEST).astype(_HALF)
        self._written = False

    def save(self) -> None:
        """Write new snapshots, if there are any; a reader finds the old file or the new."""
        if not self._written:
            steps = sorted(self._taken)
            arrays: dict[str, npt.NDArray[Any]] = {
                "steps": np.array(steps, np.int64),
                "indices": self._indices,
                "images": np.stack([self._taken[step] for step in steps]),
            }
            write_npz(self._path / SNAPSHOTS, arrays)
            self._written = True

    def restore(self, step: int) -> None:
        """Read the snapshots up to ``step``; later ones are of an abandoned branch of the run.

        Raises
        ------
        Corrupt
            If they are damaged; none are restored.
        """
        self._taken, self._written = {}, True
        if not (self._path / SNAPSHOTS).exists():
            return
        course = read_course(self._path)
        if course.images.shape[1:] != self._shape:
            raise Corrupt(f"The snapshots of {self._path.name} don't match its images.")
        for at, images in zip(course.steps.tolist(), course.images, strict=True):
            if at <= step:
                self._taken[at] = images
        self._written = len(self._taken) == len(course.steps)


def due_steps(steps: int) -> tuple[int, ...]:
    """Return the outer steps after which a run of ``steps`` takes snapshots; the last is one of them."""
    return tuple(sorted({round(float(step)) for step in np.geomspace(1, steps, _COUNT)}))


def kept_indices(counts: Sequence[int], shape: tuple[int, int, int]) -> npt.NDArray[np.int64]:
    """Choose which of the distilled images, ``counts`` of each class, a snapshot keeps.

    Up to ten of each class; if that is too much data, fewer of each class; if one of each is too much, one of
    each of fewer classes, spread evenly.
    """
    room, classes = max(1, _NUMBERS // int(np.prod(shape))), len(counts)
    shown = min(classes, room)
    each = max(1, min(_PER_CLASS, room // classes))
    chosen = (np.arange(shown) * classes // shown).tolist()
    first = np.cumsum([0, *counts])
    return np.concatenate([first[c] + np.arange(min(each, counts[c]), dtype=np.int64) for c in chosen])


def read_course(path: Path) -> Course:
    """Read the snapshots of a run.

    Raises
    ------
    NotFound
        If it has none.
    Corrupt
        If they are damaged.
    """
    if not (path / SNAPSHOTS).exists():
        raise NotFound(
            f"{path.name} has no snapshots to animate: it was imported, has no checkpoint yet, or "
            "picks real images."
        )
    return Course(**read_npz(path / SNAPSHOTS))
