"""Verify a store, or some of its artifacts: which files are damaged, and which don't belong to the store.

Every file is compared with its recorded checksum: documents with their own, all others with the one in the
manifest of their data set, run, sweep, sequence or checkpoint.  No lock is taken.  If a check fails and the
manifest has changed since, a process was writing, and the artifact is checked again.
"""

import os
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rcig_cli.errors import Corrupt, NotFound, RcigError, shorten
from rcig_cli.runs.report import Report
from rcig_cli.store.checkpoints import CHECKPOINTS, is_step
from rcig_cli.store.digests import problem_of
from rcig_cli.store.documents import OtherFormat, read_document
from rcig_cli.store.files import PARTIAL, abandoned, in_threads, is_temporary, storage_errors
from rcig_cli.store.location import STORE
from rcig_cli.store.locks import LOCK
from rcig_cli.store.metrics import METRICS
from rcig_cli.store.names import Kind
from rcig_cli.store.progress import PROGRESS
from rcig_cli.store.records import (
    MANIFEST,
    CheckpointManifest,
    DatasetManifest,
    GroupManifest,
    RunManifest,
    read_manifest,
)
from rcig_cli.store.results import KINDS
from rcig_cli.store.store import (
    ACCURACIES,
    EXPERTS,
    FULL_DATA,
    GALLERY,
    TABLE,
    Artifact,
    Store,
    open_store,
)

_FIGURES, _TENSORBOARD = "figures", "tensorboard"
_ATTEMPTS = 10
_PAUSE = 0.05  # seconds
_SMALL = 2**20  # bytes up to which a quick check reads a file


@dataclass(frozen=True)
class Finding:
    """A finding: a problem is damage, an orphan is a file that no manifest records, a note is neither.

    Parameters
    ----------
    kind
        "problem", "orphan" or "note".
    path
        Where, relative to the store.
    text
        A phrase that follows the path.
    """

    kind: Literal["problem", "orphan", "note"]
    path: str
    text: str


@dataclass(frozen=True)
class Verification:
    """The number of files checked, and what was found."""

    checked: int
    findings: tuple[Finding, ...]

    def of_kind(self, kind: Literal["problem", "orphan", "note"]) -> list[Finding]:
        """Return the findings of one kind."""
        return [one for one in self.findings if one.kind == kind]


def verify(root: Path, names: Sequence[str], report: Report, *, quick: bool = False) -> Verification:
    """Compare the files of artifacts with their checksums.

    Parameters
    ----------
    root
        The folder of the store.
    names
        Which artifacts; if empty, all, and the folders around them.
    report
        Where progress is shown.
    quick
        Whether to skip the content of files larger than 1 MiB.

    Raises
    ------
    ConfigError
        If no artifact may have such a name, or two have it.
    NotFound
        If there is no store, or no artifact of that name.
    """
    store, unreadable = Store(root), ""
    try:
        open_store(root, create=False)
    except OtherFormat as error:  # nothing else can be checked
        return Verification(1, (Finding("problem", STORE, _phrase(error, root / STORE)),))
    except Corrupt as error:
        unreadable = _phrase(error, root / STORE)
    artifacts = list(dict.fromkeys(map(store.locate, names))) if names else store.artifacts()
    total = max(1, sum(len(names) for one in artifacts for _, _, names in os.walk(one.path)))
    check = _Check(store, quick, lambda done: report.progress("verifying", min(done, total - 1), total))
    findings = [Finding("problem", STORE, unreadable)] if unreadable else []
    findings += [] if names else check.folders()
    for one in artifacts:
        findings += check.temporaries(one.path) if names else []
        findings += check.artifact(one)
    report.progress("verifying", total, total)
    return Verification(check.checked + 1, tuple(findings))


class _Check:
    """Checks parts of a store; each method yields what it finds.

    ``on_file`` is called for each file, with the number of files checked.
    """

    def __init__(self, store: Store, quick: bool, on_file: Callable[[int], None]) -> None:
        self.store, self.quick, self.on_file = store, quick, on_file
        self.checked = 0

    def folders(self) -> Iterator[Finding]:
        """Look for files that don't belong in the store's own folder and in those of all artifacts."""
        yield from self.temporaries(self.store.root)
        folders = {path.name: path for path in map(self.store.folder_of, get_args(Kind))}
        artifacts = {one.path for one in self.store.artifacts()}
        for path in _entries(self.store.root):
            if path.name not in folders and path.name not in (STORE, GALLERY):
                yield from self.orphan(path)
        for path in (path for folder in folders.values() for path in _entries(folder)):
            if path.name.startswith(PARTIAL):
                preparing = "is being prepared, or its preparation was stopped: `rcig prepare` resumes it"
                yield self.finding("note", path, preparing)
            elif path not in artifacts:
                yield from self.orphan(path)

    def temporaries(self, folder: Path) -> Iterator[Finding]:
        """Look for the temporary files of crashed processes, but not in preparations."""
        for path in abandoned(folder):
            if not any(part.startswith(PARTIAL) for part in path.relative_to(self.store.root).parts):
                yield from self.orphan(path, "was left by a crashed process: `rcig gc` removes it")

    def artifact(self, one: Artifact) -> Iterator[Finding]:
        """Check a data set; a run with its checkpoints, log and measurements; others without their runs."""
        check = {
            "data set": self.dataset,
            "run": self.run,
            "sweep": self.group,
            "sequence": self.group,
        }[one.kind]
        yield from self.settled(one.path, check)
        if one.kind == "run":
            yield from self.checkpoints_and_results(one.path)

    def settled(self, folder: Path, check: Callable[[Path], Iterator[Finding]]) -> list[Finding]:
        """Check a folder, again if a check fails and its manifest has changed in the meantime."""
        found, checked = [], self.checked
        for _ in range(_ATTEMPTS):
            self.checked, before = checked, _identity(folder)
            found = list(check(folder))
            if not os.path.lexists(folder):  # removed meanwhile
                return []
            if before == _identity(folder) or all(one.kind == "note" for one in found):
                break
            time.sleep(_PAUSE)
        return found

    def dataset(self, folder: Path) -> Iterator[Finding]:
        manifest = yield from self.manifest(folder, DatasetManifest)
        if manifest:
            yield from self.files(folder, manifest.files, elsewhere=(EXPERTS, FULL_DATA))
        for path in (*folder.glob(f"{EXPERTS}/*/*.json"), *folder.glob(f"{FULL_DATA}/*.json")):
            yield from self.document(path, lambda path=path: read_document(path))  # type: ignore[misc]
        for path in folder.glob(f"{EXPERTS}/*/*/*.npz"):
            from rcig_cli.store.arrays import read_npz  # only where it is needed, since it loads NumPy

            yield from self.document(path, lambda path=path: read_npz(path))  # type: ignore[misc]

    def group(self, folder: Path) -> Iterator[Finding]:
        """Check a sweep or a sequence of tasks."""
        manifest = yield from self.manifest(folder, GroupManifest)
        for path in folder.glob(f"{ACCURACIES}/*.json"):
            yield from self.document(path, lambda path=path: read_document(path))  # type: ignore[misc]
        if manifest:
            unrecorded = () if manifest.status == "finished" else (TABLE, _FIGURES)
            yield from self.files(folder, manifest.files, unrecorded=unrecorded, elsewhere=(ACCURACIES,))
            for run in manifest.runs:
                if not self.store.run_path(run).exists():
                    yield self.finding("note", folder, f"includes {run}, which isn't in this store")

    def run(self, folder: Path) -> Iterator[Finding]:
        manifest = yield from self.manifest(folder, RunManifest)
        if manifest:
            results = (METRICS, "distilled.zarr", "snapshots.npz")
            unrecorded = () if manifest.status == "finished" else results
            elsewhere = (PROGRESS, CHECKPOINTS, _FIGURES, _TENSORBOARD, *KINDS)
            yield from self.files(folder, manifest.files, unrecorded=unrecorded, elsewhere=elsewhere)
            yield from self.parent(folder, manifest)

    def checkpoints_and_results(self, folder: Path) -> Iterator[Finding]:
        for path in _entries(folder / CHECKPOINTS):
            if is_step(path.name) and path.is_dir():
                yield from self.settled(path, self.checkpoint)
            else:
                yield from self.orphan(path)
        for path in (path for kind in KINDS for path in _entries(folder / kind)):
            if path.suffix == ".json":
                yield from self.document(path, lambda path=path: read_document(path))  # type: ignore[misc]
            else:
                yield from self.orphan(path)

    def checkpoint(self, folder: Path) -> Iterator[Finding]:
        manifest = yield from self.manifest(folder, CheckpointManifest)
        if manifest:
            if str(manifest.step) != folder.name:
                yield self.finding("problem", folder / MANIFEST, f"belongs to step {manifest.step}")
            yield from self.files(folder, manifest.files)

    def manifest(self, folder: Path, record: Any) -> Generator[Finding, None, Any]:
        manifest = yield from self.document(folder / MANIFEST, lambda: read_manifest(folder, record))
        name = getattr(manifest, "name", folder.name)
        if name != folder.name:
            yield self.finding("problem", folder / MANIFEST, f"belongs to {name}, not to {folder.name}")
        return manifest

    def document(self, path: Path, read: Callable[[], Any]) -> Generator[Finding, None, Any]:
        """Check a document; return what `read` returns, or None if it is damaged."""
        self.count()
        try:
            return read()
        except NotFound:
            yield self.finding("problem", path, "is missing")
        except RcigError as error:
            yield self.finding("problem", path, _phrase(error, path))
        return None

    def files(
        self,
        folder: Path,
        files: dict[str, str],
        *,
        unrecorded: Collection[str] = (),
        elsewhere: Collection[str] = (),
    ) -> Iterator[Finding]:
        """Compare files with their checksums, and look for others in the folder.

        The manifest doesn't record those named in `unrecorded` yet; those in `elsewhere` are checked
        elsewhere.
        """

        def examine(name: str) -> str | None:
            path = folder / name
            skip = self.quick and path.is_file() and path.stat().st_size > _SMALL
            return None if skip else problem_of(path, files[name])

        for name, problem in zip(files, in_threads(examine, files), strict=True):
            self.count()
            if problem:
                yield self.finding("problem", folder / name, problem)
        tops = {name.split("/", 1)[0] for name in files}
        for path in _entries(folder):
            if path.name in tops:
                yield from self.others_below(path, folder, files)
            elif path.name in unrecorded:
                yield self.finding("note", path, "has no recorded checksum yet, until the work has ended")
            elif path.name not in (LOCK, MANIFEST, *elsewhere):
                yield from self.orphan(path)

    def others_below(self, path: Path, base: Path, files: Iterable[str]) -> Iterator[Finding]:
        """Find the files at a path and below that are not recorded."""
        if path.is_dir():
            for entry in _entries(path):
                yield from self.others_below(entry, base, files)
        elif path.relative_to(base).as_posix() not in files:
            yield from self.orphan(path)

    def parent(self, folder: Path, manifest: RunManifest) -> Iterator[Finding]:
        """Note if the data set in the store isn't the one that the run was made from; that is no damage."""
        try:
            digest = self.store.dataset(manifest.dataset).digest
        except NotFound:
            yield self.finding("note", folder, f"was made from {manifest.dataset}, which isn't in this store")
        except RcigError:
            return  # reported for the data set itself
        else:
            if digest != manifest.parents["dataset"]["digest"]:
                other = f"was made from another version of {manifest.dataset}, which was prepared again since"
                yield self.finding("note", folder, other)

    def count(self) -> None:
        self.checked += 1
        self.on_file(self.checked)

    def orphan(self, path: Path, text: str = "is not recorded in any manifest") -> Iterator[Finding]:
        if os.path.lexists(path):
            yield self.finding("orphan", path, text)

    def finding(self, kind: Literal["problem", "orphan", "note"], path: Path, text: str) -> Finding:
        name = path.relative_to(self.store.root).as_posix()
        return Finding(kind, name if name.isprintable() else shorten(name, 4096), text)


def _entries(folder: Path) -> list[Path]:
    """List a folder, which needn't exist, without temporary files."""
    with storage_errors(folder, "read"):
        try:
            paths = sorted(folder.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
    return [path for path in paths if not is_temporary(path.name) and path.name != ".DS_Store"]


def _identity(folder: Path) -> tuple[int, int, int] | None:
    try:
        status = (folder / MANIFEST).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _phrase(error: RcigError, path: Path) -> str:
    """Return the message of an error about a file as a phrase that follows the file's name."""
    said = str(error).removeprefix(f"{path} ").rstrip(".")
    return said.removeprefix("is damaged: ").removeprefix("it ")
