"""The store's folders: opening it, finding what is in it, and making new runs and sweeps.

::

    store.json              {"format": 1}
    datasets/<name>/        manifest.json  arrays.zarr/
    runs/<run>/             manifest.json  lock  metrics.jsonl  checkpoints/  distilled.zarr/  ...
    sweeps/<sweep>/         manifest.json  lock  table.json  figures/
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rcig_cli.errors import ConfigError, Corrupt, NotFound
from rcig_cli.store import names
from rcig_cli.store.asides import ASIDE
from rcig_cli.store.documents import FORMAT, canonical
from rcig_cli.store.files import (
    AlreadyExists,
    aside_folder,
    make_folder,
    publish_folder,
    storage_errors,
    write_text_atomically,
)
from rcig_cli.store.listing import Listing, read_each
from rcig_cli.store.locks import RunLock
from rcig_cli.store.manifest import (
    MANIFEST,
    AnyManifest,
    DatasetManifest,
    RunManifest,
    SweepManifest,
    read_dataset_manifest,
    read_run_manifest,
    read_sweep_manifest,
    write_manifest,
)
from rcig_cli.store.migrations import read_current

STORE = "store.json"
TABLE = "table.json"  # of a sweep
_IGNORED = {".DS_Store"}

Manifest = TypeVar("Manifest", DatasetManifest, RunManifest, SweepManifest)
NumberOf = Callable[[str], int | None]


def open_store(root: Path, *, create: bool) -> "Store":
    """Open a store.

    Parameters
    ----------
    root
        Its folder.
    create
        Whether to make a store where there is nothing yet, or an empty folder.

    Raises
    ------
    NotFound
        If there is no store and none is to be made.
    ConfigError
        If `root` is something else than a store.
    Corrupt
        If the store is damaged, or written by a newer version.
    """
    with storage_errors(root, "read"):
        fresh = _is_fresh(root)
    if fresh and not create:
        raise NotFound(
            f"There is no store at {root}. Make one with `rcig prepare`, or name another with --store."
        )
    if fresh:
        _create(root)
    read_current(root / STORE, "store")
    return Store(root)


def _is_fresh(root: Path) -> bool:
    """Whether a store is yet to be made here."""
    if not root.exists():
        return True
    if not root.is_dir():
        raise ConfigError(f"{root} isn't an rcig store: it is a file. Choose another folder with --store.")
    # Looked at before store.json: another process may be making this very store.
    others = [entry.name for entry in root.iterdir() if not _is_ignored(entry.name)]
    if (root / STORE).exists():
        return False
    if others:
        raise ConfigError(
            f"{root} isn't an rcig store: it has files in it but no {STORE}. "
            "Choose another folder, or an empty one, with --store."
        )
    return True


def _is_ignored(name: str) -> bool:
    return name in _IGNORED or name.startswith(ASIDE)


def _create(root: Path) -> None:
    make_folder(root)
    write_text_atomically(root / STORE, canonical({"format": FORMAT}))


@dataclass(frozen=True)
class Store:
    """An opened store; get one from `open_store`.

    Parameters
    ----------
    root
        Its folder.
    """

    root: Path

    @property
    def datasets_path(self) -> Path:
        """The folder of the data sets; it needn't exist yet."""
        return self.root / "datasets"

    @property
    def runs_path(self) -> Path:
        """The folder of the runs; it needn't exist yet."""
        return self.root / "runs"

    @property
    def sweeps_path(self) -> Path:
        """The folder of the sweeps; it needn't exist yet."""
        return self.root / "sweeps"

    def dataset_path(self, name: str) -> Path:
        """Return where the data set of this name is, or would be.

        Raises
        ------
        ConfigError
            If no data set may have that name.
        """
        return self.datasets_path / names.check_dataset_name(name)

    def run_path(self, name: str) -> Path:
        """Return where the run of this name is, or would be.

        Raises
        ------
        ConfigError
            If no run may have that name.
        """
        return self.runs_path / names.check_run_name(name)

    def sweep_path(self, name: str) -> Path:
        """Return where the sweep of this name is, or would be.

        Raises
        ------
        ConfigError
            If no sweep may have that name.
        """
        return self.sweeps_path / names.check_sweep_name(name)

    def datasets(self) -> Listing[DatasetManifest]:
        """Return all data sets in natural order, and what is wrong with those that can't be read."""
        return read_each(_folders(self.datasets_path), _read_dataset)

    def runs(self) -> Listing[RunManifest]:
        """Return all runs in natural order, and what is wrong with those that can't be read."""
        return read_each(_folders(self.runs_path), _read_run)

    def sweeps(self) -> Listing[SweepManifest]:
        """Return all sweeps in natural order, and what is wrong with those that can't be read."""
        return read_each(_folders(self.sweeps_path), _read_sweep)

    def dataset(self, name: str) -> DatasetManifest:
        """Return the manifest of one data set.

        Raises
        ------
        ConfigError
            If no data set may have that name.
        NotFound
            If there is none; the sentence names the nearest and all there are.
        Corrupt
            If it is damaged.
        """
        return _read_named(self.dataset_path(name), _read_dataset, "data set", "Make it with `rcig prepare`.")

    def run(self, name: str) -> RunManifest:
        """Return the manifest of one run.

        Raises
        ------
        ConfigError
            If no run may have that name.
        NotFound
            If there is none; the sentence names the nearest and all there are.
        Corrupt
            If it is damaged.
        """
        return _read_named(self.run_path(name), _read_run, "run", "Start one with `rcig distill`.")

    def sweep(self, name: str) -> SweepManifest:
        """Return the manifest of one sweep.

        Raises
        ------
        ConfigError
            If no sweep may have that name.
        NotFound
            If there is none; the sentence names the nearest and all there are.
        Corrupt
            If it is damaged.
        """
        return _read_named(self.sweep_path(name), _read_sweep, "sweep", "Start one with `rcig sweep`.")

    def create_run(self, make_manifest: Callable[[str], RunManifest]) -> tuple[str, RunLock]:
        """Make a new run, numbered after the highest there is.

        A reader never sees the run without its manifest, nor another writer without its lock.

        Parameters
        ----------
        make_manifest
            Returns the manifest of the run of a given name; called again, with the next name, if another
            process takes the first.

        Returns
        -------
        tuple
            The run's name, and its lock, already held.
        """
        return _create_numbered(self.runs_path, make_manifest, "run_{}", names.run_number)

    def create_named_run(self, name: str, fill: Callable[[Path], RunManifest]) -> RunManifest:
        """Make a run that is finished from the start, of a name of its own; a reader never sees it half made.

        Parameters
        ----------
        name
            Its name.
        fill
            Writes what the run vouches for into the folder it is given, and returns the manifest.

        Raises
        ------
        AlreadyExists
            If there is such a run; it is untouched.
        ConfigError
            If no run may have that name.
        """
        path = self.run_path(name)
        with aside_folder(self.runs_path) as aside:
            manifest = fill(aside)
            write_manifest(aside, manifest)
            publish_folder(aside, path)
        return manifest

    def create_sweep(self, make_manifest: Callable[[str], SweepManifest]) -> tuple[str, RunLock]:
        """Make a new sweep, as `create_run` makes a run."""
        return _create_numbered(self.sweeps_path, make_manifest, "sweep_{}", names.sweep_number)


def _create_numbered(
    parent: Path, make_manifest: Callable[[str], AnyManifest], form: str, number_of: NumberOf
) -> tuple[str, RunLock]:
    with aside_folder(parent) as aside:
        lock = RunLock(aside)
        try:
            name = _publish_next(aside, make_manifest, form, _highest(parent, number_of) + 1)
        except BaseException:
            lock.release()
            raise
    lock.run_path = parent / name
    return name, lock


def _publish_next(aside: Path, make_manifest: Callable[[str], AnyManifest], form: str, number: int) -> str:
    while True:
        name = form.format(number)
        write_manifest(aside, make_manifest(name))
        try:
            publish_folder(aside, aside.parent / name)
        except AlreadyExists:
            number += 1
        else:
            return name


def _highest(parent: Path, number_of: NumberOf) -> int:
    with storage_errors(parent, "read"):
        taken = [number_of(entry.name) for entry in parent.iterdir()]
    return max((number for number in taken if number is not None), default=0)


def _is_folder(path: Path) -> bool:
    with storage_errors(path, "read"):
        return path.is_dir()


def _folders(parent: Path) -> list[Path]:
    with storage_errors(parent, "read"):
        entries = list(parent.iterdir()) if parent.is_dir() else []
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(folders, key=lambda folder: names.natural_key(folder.name))


def _read_dataset(folder: Path) -> DatasetManifest:
    return _read(folder, read_dataset_manifest)


def _read_run(folder: Path) -> RunManifest:
    return _read(folder, read_run_manifest)


def _read_sweep(folder: Path) -> SweepManifest:
    return _read(folder, read_sweep_manifest)


def _read(folder: Path, read: Callable[[Path], Manifest]) -> Manifest:
    try:
        manifest = read(folder)
    except NotFound as error:
        if not _is_folder(folder):
            raise
        raise Corrupt(f"{folder} is damaged: it has no {MANIFEST}.") from error
    if manifest.name != folder.name:
        raise Corrupt(f"{folder / MANIFEST} is damaged: it belongs to {manifest.name}, not to {folder.name}.")
    return manifest


def _read_named(folder: Path, read: Callable[[Path], Manifest], noun: str, advice: str) -> Manifest:
    if not _is_folder(folder):
        raise NotFound(_absent(noun, folder, advice))
    return read(folder)


def _absent(noun: str, path: Path, advice: str) -> str:
    there = [folder.name for folder in _folders(path.parent)]
    if not there:
        return f"There is no {noun} {path.name!r}, and no other in this store yet. {advice}"
    candidate = names.nearest(path.name, there)
    hint = f"; did you mean {candidate!r}?" if candidate else "."
    return f"There is no {noun} {path.name!r}{hint} Those there: {', '.join(there)}."
