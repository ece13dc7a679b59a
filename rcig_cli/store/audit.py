"""Checking artifacts: which files are damaged, and which don't belong to the store.

Every file is compared with its recorded checksum: documents with their own, all others with the one in the
manifest of their data set, run, sweep or checkpoint.  No lock is taken.  If something seems wrong and the
manifest has changed since, a process was writing, and the artifact is checked again.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt, NotFound, RcigError, shorten
from rcig_cli.store.checkpoints import CHECKPOINTS, is_step
from rcig_cli.store.digests import problem_of
from rcig_cli.store.documents import parse, read_document
from rcig_cli.store.files import (
    PARTIAL,
    displaced_from,
    is_abandoned,
    is_temporary,
    storage_errors,
    temporaries,
)
from rcig_cli.store.locks import LOCK
from rcig_cli.store.records import (
    MANIFEST,
    CheckpointManifest,
    DatasetManifest,
    RunManifest,
    SweepManifest,
    read_manifest,
)
from rcig_cli.store.results import KINDS
from rcig_cli.store.store import STORE, TABLE, Artifact, Store

_LOG, _FIGURES = "metrics.jsonl", "figures"
_RESULTS_OF_RUN, _RESULTS_OF_SWEEP = {"distilled.zarr", "snapshots.zarr"}, {TABLE, _FIGURES}
_RESULT = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[A-Za-z0-9][A-Za-z0-9_.-]*\.json")
_THREADS = 8
_ATTEMPTS = 10
_PAUSE = 0.05  # seconds
_SMALL = 2**20  # bytes up to which a quick check reads a file


@dataclass(frozen=True)
class Finding:
    """Something that was found: where, relative to the store, and a phrase that follows the path."""

    path: str
    problem: str


@dataclass
class Findings:
    """What was found.

    Attributes
    ----------
    checked
        The number of files checked.
    problems, orphans, notes
        Damage; files that no manifest records; and what is worth knowing.
    """

    checked: int = 0
    problems: list[Finding] = field(default_factory=list)
    orphans: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def add(self, other: "Findings") -> None:
        """Add what was found elsewhere."""
        self.checked += other.checked
        self.problems += other.problems
        self.orphans += other.orphans
        self.notes += other.notes


class Audit:
    """Checks a store, or some of its artifacts, and collects what is found.

    Parameters
    ----------
    store
        The store.
    quick
        Whether to skip the content of files larger than 1 MiB.
    on_file
        Called for each file that is checked.

    Attributes
    ----------
    found
        What was found so far.
    """

    def __init__(self, store: Store, *, quick: bool, on_file: Callable[[], None]) -> None:
        self.found = Findings()
        self._store, self._quick, self._on_file = store, quick, on_file

    def check_store_document(self) -> bool:
        """Check ``store.json``; return whether this version can read the rest of the store."""
        self._document(self._store.root / STORE, lambda path: read_document(path))
        return not any("newer rcig" in one.problem for one in self.found.problems)

    def check_folders(self) -> None:
        """Look for files that don't belong in the store's own folder and in those of all artifacts."""
        self._check_temporaries(self._store.root)
        folders = {path.name: path for path in self._store.places()}
        artifacts = {one.path for one in self._store.artifacts()}
        for path in self._entries(self._store.root):
            if path.name not in folders and path.name != STORE:
                self._orphan(path)
        for path in (path for folder in folders.values() for path in self._entries(folder)):
            if path.name.startswith(PARTIAL):
                self._note(
                    path, "is being prepared, or its preparation was stopped: `rcig prepare` resumes it"
                )
            elif path not in artifacts:
                self._orphan(path)

    def check(self, artifact: Artifact) -> None:
        """Check a data set, a run with its checkpoints, log and measurements, or a sweep without its runs."""
        folder = artifact.path
        match artifact.kind:
            case "data set":
                self._settled(folder, lambda: self._check_dataset(folder))
            case "sweep":
                self._settled(folder, lambda: self._check_sweep(folder))
            case "run":
                self._settled(folder, lambda: self._check_run(folder))
                self._check_in_run(folder)

    def check_alone(self, artifact: Artifact) -> None:
        """Check an artifact as `check` does, and look for temporary files in it."""
        self._check_temporaries(artifact.path)
        self.check(artifact)

    def _check_dataset(self, folder: Path) -> None:
        self._check_files(folder, self._manifest(folder, DatasetManifest))

    def _check_sweep(self, folder: Path) -> None:
        manifest = self._manifest(folder, SweepManifest)
        unfinished = manifest is not None and manifest.status != "finished"
        self._check_files(folder, manifest, unrecorded=_RESULTS_OF_SWEEP if unfinished else ())
        for run in manifest.runs if manifest else ():
            if not self._store.run_path(run).exists():
                self._note(folder, f"names {run}, which isn't in this store")

    def _check_run(self, folder: Path) -> None:
        manifest = self._manifest(folder, RunManifest)
        unfinished = manifest is not None and manifest.status != "finished"
        self._check_files(
            folder,
            manifest,
            unrecorded=_RESULTS_OF_RUN if unfinished else (),
            elsewhere=(_LOG, CHECKPOINTS, _FIGURES, *KINDS),
        )
        if manifest is not None:
            self._check_log(folder / _LOG, manifest)
            self._check_parent(folder, manifest)

    def _check_in_run(self, folder: Path) -> None:
        for path in self._entries(folder / CHECKPOINTS):
            if is_step(path.name) and path.is_dir():
                self._settled(path, lambda path=path: self._check_checkpoint(path))  # type: ignore[misc]
            else:
                self._orphan(path)
        for kind in KINDS:
            for path in self._entries(folder / kind):
                if _RESULT.fullmatch(path.name):
                    self._document(path, lambda path: read_document(path))
                else:
                    self._orphan(path)

    def _check_checkpoint(self, folder: Path) -> None:
        manifest = self._manifest(folder, CheckpointManifest)
        if manifest is not None:
            if str(manifest.step) != folder.name:
                self._problem(folder / MANIFEST, f"belongs to step {manifest.step}")
            self._check_files(folder, manifest)

    def _manifest(self, folder: Path, record: Any) -> Any:
        manifest = self._document(folder / MANIFEST, lambda _: read_manifest(folder, record))
        name = getattr(manifest, "name", folder.name)
        if name != folder.name:
            self._problem(folder / MANIFEST, f"belongs to {name}, not to {folder.name}")
        return manifest

    def _document(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """Check a document; return what `read` returns, or None if it is damaged."""
        self._count()
        try:
            return read(path)
        except NotFound:
            self._problem(path, "is missing")
        except RcigError as error:
            self._problem(path, _phrase(error, path))
        return None

    def _check_files(
        self,
        folder: Path,
        manifest: Any,
        *,
        unrecorded: Collection[str] = (),
        elsewhere: Collection[str] = (),
    ) -> None:
        """Check the files that a manifest records, and look for others in its folder.

        The manifest doesn't record files named in `unrecorded` yet; those in `elsewhere` are checked
        elsewhere.
        """
        if manifest is None:
            return
        self._compare(folder, manifest.files)
        tops = {name.split("/", 1)[0] for name in manifest.files}
        for path in self._entries(folder):
            if path.name in tops:
                self._check_strangers(path, folder, manifest.files)
            elif path.name in unrecorded:
                self._note(path, "has no recorded checksum until its run or sweep has ended")
            elif path.name not in (LOCK, MANIFEST, *elsewhere):
                self._orphan(path)

    def _compare(self, folder: Path, files: Mapping[str, str]) -> None:
        def examine(name: str) -> str | None:
            path = folder / name
            if self._quick and path.is_file() and path.stat().st_size > _SMALL:
                return None
            return problem_of(path, files[name])

        with ThreadPoolExecutor(_THREADS) as pool:
            for name, problem in zip(files, pool.map(examine, files), strict=True):
                self._count()
                if problem is not None:
                    self._problem(folder / name, problem)

    def _check_strangers(self, path: Path, base: Path, files: Iterable[str]) -> None:
        """Record the files at a path and below that a manifest doesn't record."""
        if path.is_dir():
            for entry in self._entries(path):
                self._check_strangers(entry, base, files)
        elif path.relative_to(base).as_posix() not in files:
            self._orphan(path)

    def _check_parent(self, folder: Path, manifest: RunManifest) -> None:
        """Record that the data set of a run isn't the one it was made from; neither is damaged by that."""
        try:
            digest = self._store.dataset(manifest.dataset).digest
        except NotFound:
            self._note(folder, f"was made from {manifest.dataset}, which isn't in this store")
        except RcigError:
            return  # reported for the data set itself
        else:
            if digest != manifest.parents["dataset"]["digest"]:
                self._note(folder, f"was made from another {manifest.dataset} than the one in this store")

    def _check_log(self, path: Path, manifest: RunManifest) -> None:
        recorded = manifest.log
        if recorded is None and not path.exists():
            return
        self._count()
        try:
            with storage_errors(path, "read"):
                content = path.read_bytes()
        except NotFound:
            self._problem(path, "is missing")
            return
        except RcigError as error:
            self._problem(path, _phrase(error, path))
            return
        length = recorded["bytes"] if recorded else 0
        more = len(content) - length
        if more < 0:
            self._problem(path, f"has {len(content)} bytes, but at least {length} were written")
        elif recorded and hashlib.sha256(content[:length]).hexdigest() != recorded["sha256"]:
            self._problem(path, "has changed since it was written")
        elif recorded and manifest.status != "running" and more:
            self._problem(path, f"has {len(content)} bytes, but {length} were written")
        elif problem := _problem_in_lines(content[length:]):
            self._problem(path, problem)
        elif more:
            self._note(path, f"has a recorded checksum up to byte {length} of {len(content)}")

    def _check_temporaries(self, folder: Path) -> None:
        for path in temporaries(folder):
            if any(part.startswith(PARTIAL) for part in path.relative_to(self._store.root).parts):
                continue  # a part of a preparation
            if displaced_from(path):
                time.sleep(_PAUSE)  # a live process is done with it by then
            place = displaced_from(path)
            if place is not None:
                self._problem(
                    place,
                    "is missing: a process crashed while it replaced it. The complete previous folder is "
                    f"{path.name}: rename it",
                )
            elif is_abandoned(path):
                self._orphan(path, "was left by a process that crashed: `rcig gc` removes it")

    def _settled(self, folder: Path, check: Callable[[], None]) -> None:
        """Check an artifact, again if something seems wrong and its manifest has changed meanwhile."""
        before_this, found = self.found, Findings()
        try:
            for _ in range(_ATTEMPTS):
                before, self.found = _identity(folder), Findings()
                check()
                after, found = _identity(folder), self.found
                if not os.path.lexists(folder):
                    found = Findings()  # removed meanwhile
                    break
                if not (found.problems or found.orphans) or before == after:
                    break
                time.sleep(_PAUSE)
        finally:
            self.found = before_this
        self.found.add(found)

    def _entries(self, folder: Path) -> list[Path]:
        """List a folder without temporary files."""
        try:
            with storage_errors(folder, "read"):
                paths = sorted(folder.iterdir()) if folder.is_dir() else []
        except NotFound:
            return []
        except RcigError as error:
            self._problem(folder, f"can't be checked: {error}")
            return []
        return [path for path in paths if not is_temporary(path.name) and path.name != ".DS_Store"]

    def _count(self) -> None:
        self.found.checked += 1
        self._on_file()

    def _problem(self, path: Path, phrase: str) -> None:
        self.found.problems.append(Finding(self._shown(path), phrase))

    def _orphan(self, path: Path, phrase: str = "is not recorded in any manifest") -> None:
        if os.path.lexists(path):
            self.found.orphans.append(Finding(self._shown(path), phrase))

    def _note(self, path: Path, phrase: str) -> None:
        self.found.notes.append(Finding(self._shown(path), phrase))

    def _shown(self, path: Path) -> str:
        name = path.relative_to(self._store.root).as_posix()
        return name if name.isprintable() else shorten(name, 4096)


def _problem_in_lines(content: bytes) -> str | None:
    """Say what is wrong with the lines of a log that have no checksum yet; the last may be incomplete."""
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            parse(line, "it")
        except Corrupt:
            return f"isn't readable in line {number} after the newest checkpoint"
    return None


def _identity(folder: Path) -> tuple[int, int, int] | None:
    try:
        status = (folder / MANIFEST).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _phrase(error: RcigError, path: Path) -> str:
    """Return what an error says of a file, to follow the file's name."""
    said = str(error).removeprefix(f"{path} ").rstrip(".")
    return said.removeprefix("is damaged: ").removeprefix("it ")
