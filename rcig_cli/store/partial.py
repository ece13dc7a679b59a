"""A data set that is being prepared, kept so that a later process can resume it.

    .partial-<name>/
      lock
      state.npz   the progress: a JSON document, and the arrays that are needed to resume
      content/    the data set; it has a manifest once it is complete

Files of ``content`` must be forced to the disk before the state that describes them is saved.
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
        """Save the progress, replacing what was saved before.

        Raises
        ------
        RcigError
            If it can't be written; what was saved before is unchanged.
        """
        encoded = np.frombuffer(json.dumps(document).encode(), np.uint8)
        write_npz(self._state, {_DOCUMENT: encoded, **arrays})

    def discard(self) -> None:
        """Remove the state and the content; the folder stays locked."""
        self._discard_state()  # first: it describes the content
        if self.content.exists():
            remove_folder(self.content)

    def begin_content(self) -> Path:
        """Make an empty folder for the content, replacing an earlier one."""
        if self.content.exists():
            remove_folder(self.content)
        make_folder(self.content)
        return self.content

    def publish(self, final: Path, *, overwrite: bool) -> None:
        """Move the complete content to its final place, and remove the rest.

        Raises
        ------
        AlreadyExists
            If not `overwrite`, and a file or folder exists there.
        RcigError
            If it can't be moved or made durable.
        """
        # First, because for an instant `content` is the data set that is replaced, which has another state.
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
    """Resume or begin the preparation of a data set, and keep other processes from preparing it.

    Parameters
    ----------
    parent
        The folder in which it will be published; it is made if needed.
    name
        The data set's name.
    wait
        Called with a message before waiting for another process that prepares it; if None, `Locked` is
        raised.

    Yields
    ------
    Partial
        It is kept for a later process if progress was saved and it was neither published nor removed.

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
