"""A data set that is being prepared, kept so that a later process can resume it.

    .partial-<name>/
      lock
      state.npz   how far the work is: a JSON document, and the arrays that are needed to resume
      content/    the data set; it has a manifest once it is complete

What the state says about ``content`` must have been forced to the disk before.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.errors import Corrupt, NotFound, RcigError
from rcig_cli.store.arrays import Array, read_npz, write_npz
from rcig_cli.store.files import (
    PARTIAL,
    make_folder,
    publish,
    remove_abandoned,
    remove_folder,
    replace_folder,
    storage_errors,
)
from rcig_cli.store.locks import RunLock, Wait
from rcig_cli.store.records import MANIFEST

_DOCUMENT = "document"  # its name among the arrays of the file


class Partial:
    """A data set that is being prepared, in a folder; get one from `partial_folder`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = path / "state.npz"

    @property
    def content(self) -> Path:
        """The folder of the data set that is being made; it needn't exist yet."""
        return self.path / "content"

    @property
    def has_state(self) -> bool:
        """Whether anything has been saved."""
        return self._state.exists()

    @property
    def is_complete(self) -> bool:
        """Whether the content has its manifest."""
        return (self.content / MANIFEST).exists()

    def load(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the document and the arrays that were last saved; errors are those of `read_npz`."""
        arrays = read_npz(self._state)
        try:
            document: dict[str, Any] = json.loads(arrays.pop(_DOCUMENT).tobytes())
        except (LookupError, ValueError) as error:
            raise Corrupt(f"{self._state} is damaged.") from error
        return document, arrays

    def save(self, document: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Save how far the work is, in place of what was saved before.

        Raises
        ------
        RcigError
            If it can't be written; what was saved before is unchanged.
        """
        encoded = np.frombuffer(json.dumps(document).encode(), np.uint8)
        write_npz(self._state, {_DOCUMENT: encoded, **arrays})

    def discard(self) -> None:
        """Remove what has been done; the folder stays locked."""
        self._discard_state()  # first: it describes the content
        if self.content.exists():
            remove_folder(self.content)

    def begin_content(self) -> Path:
        """Make an empty folder for the content, in place of an earlier one."""
        if self.content.exists():
            remove_folder(self.content)
        make_folder(self.content)
        return self.content

    def publish(self, final: Path, *, overwrite: bool) -> None:
        """Move the complete content to its final place, and remove the rest.

        Raises
        ------
        AlreadyExists
            If not `overwrite`, and something is there.
        RcigError
            If it can't be moved or made durable.
        """
        # First: a data set that is replaced is `content` for an instant, which the state doesn't describe.
        self._discard_state()
        (replace_folder if overwrite else publish)(self.content, final)
        with suppress(RcigError):  # the data set is complete, even if this fails
            self.remove()

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        remove_folder(self.path)

    def _discard_state(self) -> None:
        with storage_errors(self._state):
            self._state.unlink(missing_ok=True)


@contextmanager
def partial_folder(parent: Path, name: str, *, wait: Wait | None = None) -> Iterator[Partial]:
    """Resume or begin the preparation of a data set, as the only process that does.

    Parameters
    ----------
    parent
        The folder in which it is to be published; made if need be.
    name
        The data set's name.
    wait
        Called with a sentence before waiting for another process that prepares it; None: don't wait.

    Yields
    ------
    Partial
        It stays for a later process unless nothing was saved, or it is published or removed.

    Raises
    ------
    Locked
        If another process prepares it, and ``wait`` is None.
    """
    path = parent / f"{PARTIAL}{name}"
    with _lock(path, name, wait):
        remove_abandoned(path)
        partial = Partial(path)
        try:
            yield partial
        finally:
            if path.exists() and not (partial.has_state or partial.is_complete):
                with suppress(RcigError):
                    partial.remove()


def remove_published(parent: Path, name: str) -> None:
    """Remove the folder of a preparation that was killed just after it had published its data set."""
    if (parent / f"{PARTIAL}{name}").exists():
        with suppress(RcigError), partial_folder(parent, name) as partial:
            if not partial.has_state:
                partial.remove()


def _lock(path: Path, name: str, wait: Wait | None) -> RunLock:
    while True:
        make_folder(path)
        try:
            return RunLock(path, name=name, wait=wait)
        except NotFound:
            continue  # another process has just published the data set, and removed the folder
