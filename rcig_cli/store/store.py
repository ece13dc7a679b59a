"""The store's folders: opening it, finding what is in it, and making new runs, sweeps and sequences.

::

    store.json              {"format": 1, ...}
    gallery.html
    datasets/<name>/        manifest.json  arrays.zarr/  experts/  full-data/
    runs/<run>/             manifest.json  lock  metrics.jsonl  checkpoints/  distilled.zarr/  ...
    sweeps/<sweep>/         manifest.json  lock  table.json  figures/
    sequences/<sequence>/   manifest.json  lock  accuracies/  table.json  figures/
"""

import difflib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, get_args

from rcig_cli.errors import ConfigError, Corrupt, NotFound, shorten
from rcig_cli.store.documents import Listing, read_document, read_each, write_document
from rcig_cli.store.files import (
    AlreadyExists,
    is_temporary,
    make_folder,
    publish,
    storage_errors,
    temporary_folder,
)
from rcig_cli.store.location import STORE, command
from rcig_cli.store.locks import RunLock, is_locked
from rcig_cli.store.names import (
    FOLDERS,
    NEWEST,
    GroupKind,
    Kind,
    check_chosen_name,
    check_name,
    is_name,
    natural_key,
    number_of,
)
from rcig_cli.store.progress import Progress, read_progress
from rcig_cli.store.records import (
    MANIFEST,
    DatasetManifest,
    GroupManifest,
    RunManifest,
    read_manifest,
    write_manifest,
)

GALLERY = "gallery.html"  # pictures of all runs, which `rcig report --all` writes
TABLE = "table.json"  # of a sweep or sequence
ACCURACIES = "accuracies"  # of a sequence: those measured after each task
_REMOVED = "removed"  # in STORE: the highest number of each kind that was removed
EXPERTS, FULL_DATA = "experts", "full-data"  # of a data set: networks trained on it, and their accuracies

Named = TypeVar("Named", DatasetManifest, RunManifest, GroupManifest)
Numbered = TypeVar("Numbered", RunManifest, GroupManifest)

_MADE_BY: dict[Kind, str] = {
    "data set": "prepare",
    "run": "distill",
    "sweep": "sweep",
    "sequence": "continual",
}


@dataclass(frozen=True)
class Artifact:
    """A data set, run, sweep or sequence, damaged or not, and its folder."""

    kind: Kind
    name: str
    path: Path


def open_store(root: Path, *, create: bool) -> "Store":
    """Open the store in a folder; with ``create``, make one if the folder doesn't exist or is empty.

    Raises
    ------
    NotFound
        If there is no store, and not ``create``.
    ConfigError
        If `root` is a file, or a folder that is not a store.
    Corrupt
        If the store is damaged, or of another format.
    """
    with storage_errors(root, "read"):
        if root.exists() and not root.is_dir():
            raise ConfigError(
                f"{root} isn't an rcig store: it is a file. Choose another folder with --store."
            )
        # List the folder before looking for store.json: another process may be making this very store.
        entries = os.listdir(root) if root.exists() else []
        missing = not (root / STORE).exists()
    if missing and any(name != ".DS_Store" and not is_temporary(name) for name in entries):
        raise ConfigError(
            f"{root} isn't an rcig store: it has files in it but no {STORE}. "
            "Choose another folder, or an empty one, with --store."
        )
    if missing and not create:
        raise NotFound(
            f"There is no store at {root}. Make one with `rcig prepare`, or name another with --store."
        )
    if missing:
        make_folder(root)
        write_document(root / STORE, {})
    read_document(root / STORE)
    return Store(root)


@dataclass(frozen=True)
class Store:
    """An opened store; get one from `open_store`.

    Methods that take a name raise `ConfigError` if it is not a valid name for that kind.  Those that return a
    manifest raise `NotFound` if there is no such artifact (the message suggests the nearest name and lists
    all), and `Corrupt` if it is damaged.
    """

    root: Path

    def command(self, words: str) -> str:
        """Return a command as the user would type it, with ``--store`` if this isn't the default store."""
        return command(words, self.root)

    def folder_of(self, kind: Kind) -> Path:
        """Return the folder of all artifacts of a kind; it needn't exist yet."""
        return self.root / FOLDERS[kind]

    def dataset_path(self, name: str) -> Path:
        """Return the folder of a data set; it needn't exist."""
        return self.folder_of("data set") / check_name("data set", name)

    def run_path(self, name: str) -> Path:
        """Return the folder of a run; it needn't exist."""
        return self.folder_of("run") / check_name("run", name)

    def group_path(self, kind: GroupKind, name: str) -> Path:
        """Return the folder of a sweep or a sequence of tasks; it needn't exist."""
        return self.folder_of(kind) / check_name(kind, name)

    def datasets(self) -> Listing[DatasetManifest]:
        """Return all data sets in natural order, and a problem for each that can't be read."""
        return read_each(_folders(self.folder_of("data set")), lambda folder: _read(folder, DatasetManifest))

    def runs(self) -> Listing[RunManifest]:
        """Return all runs in natural order, and a problem for each that can't be read."""
        return read_each(_folders(self.folder_of("run")), lambda folder: _read(folder, RunManifest))

    def with_current_status(self, job: Numbered) -> Numbered:
        """Return a manifest, with "interrupted" in place of "running" if no process is writing it."""
        if job.status == "running" and not is_locked(self.folder_of(job.kind) / job.name):
            return replace(job, status="interrupted")
        return job

    def progress(self, run: RunManifest) -> Progress | None:
        """Return what the process that writes a run is doing; None if no process is writing it."""
        path = self.run_path(run.name)
        return read_progress(path) if run.status == "running" and is_locked(path) else None

    def groups(self, kind: GroupKind | None = None) -> Listing[GroupManifest]:
        """Return all sweeps or sequences of tasks, or both, in natural order, and problems as of `runs`."""
        kinds = get_args(GroupKind) if kind is None else (kind,)
        folders = [folder for each in kinds for folder in _folders(self.folder_of(each))]
        return read_each(folders, lambda folder: _read(folder, GroupManifest))

    def dataset(self, name: str) -> DatasetManifest:
        """Return the manifest of a data set."""
        return self._named("data set", name, DatasetManifest)

    def run(self, name: str) -> RunManifest:
        """Return the manifest of a run; that of the newest run if the name is "newest"."""
        return self._newest() if name == NEWEST else self._named("run", name, RunManifest)

    def newest_runs(self) -> list[RunManifest]:
        """Return all runs that can be read, the newest first."""
        return sorted(self.runs().found, key=lambda run: run.created, reverse=True)

    def _newest(self) -> RunManifest:
        runs = self.newest_runs()
        if not runs:
            raise NotFound("There is no run in this store yet. Make one with `rcig distill`.")
        return runs[0]

    def group(self, kind: GroupKind, name: str) -> GroupManifest:
        """Return the manifest of a sweep or a sequence of tasks."""
        return self._named(kind, name, GroupManifest)

    def _named(self, kind: Kind, name: str, record: type[Named]) -> Named:
        folder = self.folder_of(kind) / check_name(kind, name)
        with storage_errors(folder, "read"):
            if not folder.is_dir():
                self._raise_absent(kind, name)
        return _read(folder, record)

    def _raise_absent(self, kind: Kind, name: str) -> NoReturn:
        existing = [folder.name for folder in _folders(self.folder_of(kind))]
        if not existing:
            raise NotFound(
                f"There is no {kind} {name!r}; the store has none yet. Make one with `rcig {_MADE_BY[kind]}`."
            )
        nearest = difflib.get_close_matches(name, existing, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise NotFound(f"There is no {kind} {name!r}{hint} The store has: {', '.join(existing)}.")

    def create(
        self,
        kind: Literal["run", "sweep", "sequence"],
        make_manifest: Callable[[str], Numbered],
        *,
        names: Iterable[str] | None = None,
        fill: Callable[[Path], None] | None = None,
    ) -> tuple[Numbered, RunLock]:
        """Make a new run, sweep or sequence.

        It gets its name only when it has its manifest and its lock.

        Parameters
        ----------
        kind
            What is made.
        make_manifest
            Returns the manifest for a name; called after `fill`, and again with the next name, if another
            process takes the first.
        names
            Its name, which `check_new_run` has accepted, or several to try in turn; by default those with the
            numbers after the highest that the store ever had.
        fill
            Writes the first files of it, besides the manifest, into the folder that it is given.

        Returns
        -------
        tuple
            The manifest, and the lock, which is held.

        Raises
        ------
        ConfigError
            If there are runs of the given names.
        """
        parent = self.folder_of(kind)
        with temporary_folder(parent) as temporary:
            lock = RunLock(temporary)
            try:
                if fill is not None:
                    fill(temporary)
                for name in names or self._numbered(kind):
                    manifest = make_manifest(name)
                    write_manifest(temporary, manifest)
                    with suppress(AlreadyExists):
                        publish(temporary, parent / name)
                        return manifest, lock
                raise _taken(name)
            except BaseException:
                lock.release()
                raise

    def _numbered(self, kind: Kind) -> Iterator[str]:
        """Yield the names with the numbers after the highest that the store ever had."""
        present = max((number_of(kind, each) for each in os.listdir(self.folder_of(kind))), default=0)
        for number in itertools.count(1 + max(present, self._removed().get(kind, 0))):
            yield f"{kind}_{number}"

    def check_new_run(self, name: str) -> str:
        """Return a name that a user chose for a new run.

        Raises
        ------
        ConfigError
            If it is not valid, or is taken by a run or a data set.
        """
        check_chosen_name(name)
        if self.dataset_path(name).exists():
            raise ConfigError(f"{name!r} is the name of a data set in this store: choose another --name.")
        if self.run_path(name).exists():
            raise _taken(name)
        return name

    def note_removal(self, kind: Kind, name: str) -> None:
        """Remember the number of a run, sweep or sequence that is removed: no other gets its name."""
        removed, number = self._removed(), number_of(kind, name)
        if number > removed.get(kind, 0):
            write_document(self.root / STORE, {_REMOVED: {**removed, kind: number}})

    def _removed(self) -> dict[str, int]:
        """Return the highest number of the removed runs, sweeps and sequences."""
        removed: dict[str, int] = read_document(self.root / STORE).get(_REMOVED, {})
        return removed

    def locate(self, name: str) -> Artifact:
        """Find the artifact that has a name.

        Parameters
        ----------
        name
            Of an artifact, or "newest" for the newest run.  With the name of a folder such as ``runs/``
            before it, only artifacts of that kind are looked for.

        Raises
        ------
        ConfigError
            If the name is not valid, or two artifacts have it.
        NotFound
            If no artifact has it; the message suggests the nearest name.
        """
        if name == NEWEST:
            name = self._newest().name
        prefix, slash, rest = name.rpartition("/")
        kinds = [
            kind
            for kind, folder in FOLDERS.items()
            if is_name(kind, rest) and (not slash or prefix == folder)
        ]
        if not kinds:
            raise ConfigError(f"{shorten(name)} is not a valid name. `rcig list` shows all names.")
        found = [Artifact(kind, rest, self.folder_of(kind) / rest) for kind in kinds]
        existing = [one for one in found if os.path.lexists(one.path)]
        if len(existing) > 1:
            choices = " or ".join(f"{one.path.parent.name}/{one.name}" for one in existing)
            raise ConfigError(
                f"{name} is the name of a {existing[0].kind} and of a {existing[1].kind}. Use {choices}."
            )
        if existing:
            return existing[0]
        likely = [kind for kind in kinds if slash or rest.startswith(f"{kind}_")]
        if likely:
            return self._raise_absent(likely[0], rest)
        nearest = difflib.get_close_matches(rest, [each.name for each in self.artifacts()], n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else "."
        raise NotFound(f"There is nothing called {rest!r} in the store{hint} `rcig list` shows all names.")

    def artifacts(self) -> list[Artifact]:
        """Find all artifacts, damaged or not: the folders with a name that an artifact may have."""
        return [
            Artifact(kind, folder.name, folder)
            for kind in FOLDERS
            for folder in _folders(self.folder_of(kind))
            if is_name(kind, folder.name)
        ]


def _taken(name: str) -> ConfigError:
    return ConfigError(f"There is a run {name} already: choose another --name.")


def _folders(parent: Path) -> list[Path]:
    with storage_errors(parent, "read"):
        entries = list(parent.iterdir()) if parent.is_dir() else []
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(folders, key=lambda folder: natural_key(folder.name))


def _read(folder: Path, record: type[Named]) -> Named:
    try:
        manifest = read_manifest(folder, record)
    except NotFound as error:
        if not folder.is_dir():  # removed meanwhile
            raise
        raise Corrupt(f"{folder} is damaged: it has no {MANIFEST}.") from error
    if manifest.name != folder.name:
        raise Corrupt(f"{folder / MANIFEST} is damaged: it belongs to {manifest.name}, not to {folder.name}.")
    return manifest
