"""Work that takes hours, kept so that where one process was killed the next one goes on.

    .partial-<name>/
      lock
      state/       progress.json, arrays.zarr: how far it is, and the numbers it takes to go on
      content/     what is being made

``state`` is swapped whole, so that the document and the arrays in it are always of the same moment.  What
it says of ``content`` must have been forced to the disk before.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt, Locked, NotFound, RcigError
from rcig_cli.store.arrays import Array, read_arrays, write_arrays
from rcig_cli.store.digests import sha256_of_file
from rcig_cli.store.documents import FORMAT, canonical, read_document
from rcig_cli.store.files import (
    aside_folder,
    make_folder,
    place_folder,
    publish_folder,
    remove_folder,
    write_text_atomically,
)
from rcig_cli.store.leftovers import PARTIAL
from rcig_cli.store.locks import RunLock
from rcig_cli.store.manifest import MANIFEST
from rcig_cli.store.plain import check_own

_STATE, _PROGRESS, _ARRAYS = "state", "progress.json", "arrays.zarr"
_LOOK_EVERY = 0.2  # seconds


class Partial:
    """Something under way; get one from `partial_folder`.

    Parameters
    ----------
    path
        Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def content(self) -> Path:
        """The folder of what is being made; it needn't exist yet."""
        return self.path / "content"

    @property
    def has_state(self) -> bool:
        """Whether anything has been saved."""
        return (self.path / _STATE).exists()

    def progress(self) -> dict[str, Any]:
        """Read the document that was last saved.

        Raises
        ------
        NotFound
            If nothing has been saved.
        Corrupt
            If it is damaged, or written by another format.
        """
        document = read_document(self.path / _STATE / _PROGRESS)
        if document.pop("format", None) != FORMAT:
            raise Corrupt(f"{self.path} is damaged, or written by another version.")
        return document

    def arrays(self) -> dict[str, Array]:
        """Read the arrays that were last saved.

        Raises
        ------
        Corrupt
            If they are damaged.
        """
        return read_arrays(self.path / _STATE / _ARRAYS)

    def save(self, progress: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Save how far the work is, in place of what was saved before.

        Raises
        ------
        RcigError
            If it can't be written; what was saved before stands.
        """
        with aside_folder(self.path) as aside:
            write_arrays(aside / _ARRAYS, arrays)
            write_text_atomically(aside / _PROGRESS, canonical({"format": FORMAT, **progress}))
            place_folder(aside, self.path / _STATE)

    def begin_anew(self) -> None:
        """Give up what has been done; the folder stays ours."""
        for part in (self.path / _STATE, self.content):  # in this order: the state vouches for the content
            if part.exists():
                remove_folder(part)

    def begin_content(self) -> Path:
        """Make an empty folder for what is being made, in place of what an earlier process left there."""
        if self.content.exists():
            remove_folder(self.content)
        make_folder(self.content)
        return self.content

    def finish(self, key: str) -> None:
        """Save that the content is complete, its manifest being written: what is left is to publish it.

        Parameters
        ----------
        key
            What it was made of.
        """
        self.save({"key": key, "manifest": sha256_of_file(self.content / MANIFEST)}, {})

    def is_finished(self, key: str) -> bool:
        """Whether the content is what `finish` was called for, with this key.

        It isn't once it has been published: then there is none, or it is what was replaced.
        """
        try:
            progress = self.progress()
            return progress.get("key") == key and progress.get("manifest") == sha256_of_file(
                self.content / MANIFEST
            )
        except (NotFound, Corrupt):
            return False

    def publish(self, final: Path, *, overwrite: bool) -> None:
        """Give the finished content its name; nothing else of the work is left.

        Raises
        ------
        AlreadyExists
            If not `overwrite`, and something has that name.
        RcigError
            If it can't be made durable; then what stood before still stands.
        """
        (place_folder if overwrite else publish_folder)(self.content, final)
        with suppress(RcigError):  # what is published is published
            self.remove()

    def remove(self) -> None:
        """Give the work up."""
        remove_folder(self.path)


@contextmanager
def partial_folder(
    parent: Path, name: str, *, waiting: Callable[[], None] | None = None
) -> Iterator[Partial]:
    """Take up work under way, or begin it, as the only process that does.

    Parameters
    ----------
    parent
        The folder in which it is to be published; made if need be.
    name
        What it is called.
    waiting
        Called again and again while another process is at it, to wait for that one; it may raise.  None:
        don't wait.

    Yields
    ------
    Partial
        It stays for the next process unless it is published or removed.

    Raises
    ------
    Locked
        If another process is at it, and ``waiting`` is None.
    Corrupt
        If it, or a part of it, is a link or no folder.
    """
    path = parent / f"{PARTIAL}{name}"
    with _claim(check_own(path), name, waiting):
        for part in (path / _STATE, path / "content"):
            check_own(part)
        partial = Partial(path)
        try:
            yield partial
        finally:
            # Nothing to go on with: nobody needs the folder.
            if path.exists() and not partial.has_state:
                with suppress(RcigError):
                    partial.remove()


def remove_published(parent: Path, name: str) -> None:
    """Remove what a process left of its work that was killed just after publishing it."""
    if not (parent / f"{PARTIAL}{name}").exists():
        return
    # What another process is at, or can't be read now, is in nobody's way.
    with suppress(RcigError), partial_folder(parent, name) as partial:
        progress = partial.progress()
        if "manifest" in progress and not partial.is_finished(progress["key"]):
            partial.remove()


def _claim(path: Path, name: str, waiting: Callable[[], None] | None) -> RunLock:
    while True:
        make_folder(path)
        try:
            return RunLock(path, name=name)
        except NotFound:
            continue  # the one who had it has just finished
        except Locked:
            if waiting is None:
                raise
            waiting()
            time.sleep(_LOOK_EVERY)
