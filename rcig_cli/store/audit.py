"""Looking files over: what is wrong with them, what nobody vouches for, what can't be told.

A `Look` collects what is found in one artifact.  Readers need no lock: where something looks wrong, and the
manifest is another by then, a writer was at work, and `settled` looks again.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt, NotFound, RcigError
from rcig_cli.store.asides import is_plain_folder
from rcig_cli.store.digests import problem_of
from rcig_cli.store.documents import parse, read_bytes
from rcig_cli.store.files import storage_errors
from rcig_cli.store.leftovers import is_left, is_leftover_name, lost
from rcig_cli.store.manifest import MANIFEST
from rcig_cli.store.migrations import Document, Kind, current
from rcig_cli.store.names import shorten
from rcig_cli.store.seals import flaw, is_sealed

_IGNORED = {".DS_Store"}
_THREADS = 8
_ATTEMPTS = 10
_PAUSE = 0.05  # seconds
_SMALL = 2**20  # bytes up to which a quick look hashes a file
_LONGEST = 4096
_LINK = "is a link or a device: it has no place in a store"


@dataclass(frozen=True)
class Finding:
    """Something that was found: where, relative to the store, and a phrase to follow that."""

    path: str
    problem: str


@dataclass
class Look:
    """One look at some files.

    Parameters
    ----------
    root
        The store's folder.
    quick
        Whether to pass over the content of large files.
    tick
        Called for each file that was looked at.

    Attributes
    ----------
    checked
        How many files were looked at.
    problems, orphans, notes
        What is damaged; what nobody vouches for; and what can't be told, or is worth knowing.
    """

    root: Path
    quick: bool = False
    tick: Callable[[], None] = lambda: None
    checked: int = 0
    problems: list[Finding] = field(default_factory=list)
    orphans: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def fresh(self) -> "Look":
        """Return a look that has seen nothing yet."""
        return Look(self.root, self.quick, self.tick)

    def take(self, other: "Look") -> None:
        """Add what another look has found."""
        self.checked += other.checked
        self.problems += other.problems
        self.orphans += other.orphans
        self.notes += other.notes

    def problem(self, path: Path, phrase: str) -> None:
        """Record damage."""
        self.problems.append(Finding(self._inner(path), phrase))

    def orphan(self, path: Path, phrase: str = "is vouched for by nothing") -> None:
        """Record what doesn't belong, unless it is gone since it was seen."""
        if os.path.lexists(path):
            self.orphans.append(Finding(self._inner(path), phrase))

    def note(self, path: Path, phrase: str) -> None:
        """Record what is worth knowing."""
        self.notes.append(Finding(self._inner(path), phrase))

    def _inner(self, path: Path) -> str:
        name = path.relative_to(self.root).as_posix()
        return name if name.isprintable() else shorten(name, _LONGEST)

    def count(self) -> None:
        """Record that a file was looked at."""
        self.checked += 1
        self.tick()

    def is_plain(self, path: Path, *, folder: bool = False) -> bool:
        """Whether there is a file (or a folder) that is no link; where it is something else, say so."""
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            self.problem(path, "is missing")
            return False
        if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
            self.problem(path, f"isn't a plain {'folder' if folder else 'file'}")
            return False
        return True

    def document(self, path: Path, kind: Kind, check: Callable[[Document], Any]) -> Any:
        """Look at a document; return what `check` makes of it in this format, or None if it is damaged.

        Parameters
        ----------
        path
            Its file.
        kind
            What it is.
        check
            Raises `Corrupt` for one whose fields can't be.
        """
        self.count()
        if not self.is_plain(path):
            return None
        where = self._inner(path)
        try:
            text = read_bytes(path)
            document = parse(text, where)
            wrong = flaw(text, document)
            if wrong is not None:
                self.problem(path, wrong)
                return None
            found = check(current(document, Path(where), kind))
        except NotFound:
            return None  # removed since
        except RcigError as error:
            self.problem(path, phrase(error, where))
            return None
        # A store's own has one field, and so one text.
        if not is_sealed(document) and kind != "store":
            self.note(path, "has no digest of its own: it was written before documents had one")
        return found

    def files(self, folder: Path, vouched: Mapping[str, str]) -> None:
        """Hold files against their digests.

        Parameters
        ----------
        folder
            What the paths are relative to.
        vouched
            From path to SHA-256.
        """

        def examine(name: str) -> str | None:
            if self.quick and _is_large(folder / name):
                return None
            return problem_of(folder, name, vouched[name])

        with ThreadPoolExecutor(_THREADS) as pool:
            for name, wrong in zip(vouched, pool.map(examine, vouched), strict=True):
                self.count()
                if wrong is not None:
                    self.problem(folder / name, wrong)

    def entries(self, folder: Path) -> list[Path]:
        """List a folder, in order, but for what writers leave behind: that is recorded."""
        if not folder.is_dir():
            return []
        try:
            with storage_errors(folder, "read"):
                paths = sorted(folder.iterdir())
        except NotFound:
            return []
        except RcigError as error:
            self.problem(folder, f"can't be checked: {error}")
            return []
        for path in paths:
            if is_leftover_name(path.name):
                self._leftover(path)
        return [path for path in paths if not is_leftover_name(path.name) and path.name not in _IGNORED]

    def _leftover(self, path: Path) -> None:
        if lost(path) is not None:
            time.sleep(_PAUSE)  # a writer needs an instant for it
        place = lost(path)
        if place is not None:
            self.problem(
                place,
                f"is missing: a process died while it replaced it. It stands whole as {path.name}: rename it",
            )
        elif is_left(path):
            self.orphan(path, "was left behind by a process that died; `rcig gc` removes it")

    def strangers(self, folder: Path, base: Path, known: Iterable[str] | None) -> None:
        """Record the files under a folder that are not known.

        Parameters
        ----------
        folder
            Where to look, all the way down.
        base
            What the names are relative to.
        known
            Names; None if any file may be there, but nothing else than files and folders.
        """
        allowed = None if known is None else set(known)
        for path in self.entries(folder):
            if is_plain_folder(path):
                self.strangers(path, base, known)
            elif path.is_symlink() or not path.is_file():
                self.orphan(path, _LINK)
            elif allowed is not None and path.relative_to(base).as_posix() not in allowed:
                self.orphan(path)


def settled(look: Look, folder: Path, examine: Callable[[Look], None]) -> None:
    """Look at an artifact, again if it changed meanwhile and something seemed wrong; take what stands.

    Parameters
    ----------
    look
        What takes the findings.
    folder
        With the manifest that is replaced whenever something it vouches for is.
    examine
        Looks at the artifact.
    """
    for _ in range(_ATTEMPTS):
        before, one = _identity(folder), look.fresh()
        examine(one)
        after = _identity(folder)
        if not os.path.lexists(folder):
            return  # removed meanwhile
        if not (one.problems or one.orphans) or before == after:
            break
        time.sleep(_PAUSE)
    look.take(one)


def _identity(folder: Path) -> tuple[int, int, int] | None:
    try:
        status = (folder / MANIFEST).lstat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _is_large(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > _SMALL


def phrase(error: RcigError, where: str) -> str:
    """Return what an error says of a file, to follow the file's name."""
    said = str(error).removeprefix(f"{where} ").rstrip(".")
    return said.removeprefix("is damaged: ") if isinstance(error, Corrupt) else f"can't be checked: {said}"
