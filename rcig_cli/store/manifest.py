"""Manifests: what a data set, a run or a sweep says about itself, as typed records.

A manifest is one canonical JSON document (see `documents`), sealed (see `seals`).  Reading one checks every
field and reports everything that is wrong at once; a manifest that couldn't be read back is never written.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from rcig_cli.errors import Corrupt
from rcig_cli.store import names
from rcig_cli.store.checks import (
    Check,
    digest,
    digests_by_path,
    exactly,
    flag,
    holding,
    json_object,
    listing,
    mapping,
    natural,
    number,
    or_null,
    positive,
    problems_of,
    text,
    texts,
    texts_by_name,
)
from rcig_cli.store.documents import FORMAT, check_format, digest_of, parse
from rcig_cli.store.files import write_text_atomically
from rcig_cli.store.migrations import read_current
from rcig_cli.store.seals import sealed, without_seal

MANIFEST = "manifest.json"
Status = Literal["running", "interrupted", "finished", "failed"]


def _is_utc(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).utcoffset() == timedelta(0)
    except ValueError:
        return False


def _is_named(is_name: Callable[[str], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and is_name(value)


_TIME = Check("a time in UTC", _is_utc)
_SHAPE = Check(
    "[height, width, channels]",
    lambda value: isinstance(value, list) and len(value) == 3 and all(map(positive.holds, value)),
)
_PARENT = holding("a parent", {"name": text, "digest": digest})
_LOG = holding("the beginning of a log", {"bytes": natural, "sha256": digest})
_DIVERGENCE = holding(
    "a divergence",
    {
        "step": positive,
        "not_finite": Check("texts, at least one", lambda value: texts.holds(value) and bool(value)),
        "checkpoint": or_null(natural),
        "rates": mapping("an object of numbers", lambda _: True, number),
    },
)


class _Manifest:
    """What all kinds of manifest have in common: JSON there and back, checked."""

    _checks: ClassVar[dict[str, Check]]
    _optional: ClassVar[tuple[str, ...]] = ()
    _content: ClassVar[tuple[str, ...]]
    name: str

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as a JSON document."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: Path) -> Self:
        """Build a manifest from a JSON document.

        Parameters
        ----------
        document
            What `to_json` returned, through JSON.
        where
            The file it came from, for errors.

        Raises
        ------
        Corrupt
            If the format is newer than this version knows, or with everything that is wrong.
        """
        check_format(document, where)
        problems = problems_of(without_seal(document), cls._checks, cls._optional)
        if problems:
            raise Corrupt(f"{where} is damaged: {'; '.join(problems)}.")
        return cls(**{name: _frozen(value) for name, value in cls._known(document).items()})

    @classmethod
    def _known(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        return {name: document[name] for name in names if name in document}

    @property
    def digest(self) -> str:
        """The SHA-256, by which children name their parents, of what the manifest says about the content.

        Content is what a child depends on: not when, where from or with which versions it was made, so that
        the same data prepared again is the same parent.
        """
        document = self.to_json()
        return digest_of({name: document[name] for name in self._content})

    @property
    def as_parent(self) -> dict[str, str]:
        """How children name it."""
        return {"name": self.name, "digest": self.digest}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class DatasetManifest(_Manifest):
    """What a prepared data set is and where it came from.

    Parameters
    ----------
    name
        The name of its folder.
    created
        When, in UTC, as `now` gives it.
    class_names
        One a class, in the order of the labels.
    shape
        Height, width and channels of one image, in pixels.
    sizes
        The number of images in "train" and in "test".
    whitened
        Whether the images are whitened (ZCA).
    config
        The fully resolved settings of the preparation, JSON values only.
    source
        Where the data came from, JSON values only.
    versions
        As `versions` returns them.
    files
        From each file's path, relative to the folder, to its SHA-256.
    """

    name: str
    created: str
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: dict[str, int]
    whitened: bool
    config: dict[str, Any]
    source: dict[str, Any]
    versions: dict[str, str]
    files: dict[str, str]
    format: int = FORMAT
    kind: str = "dataset"

    _content: ClassVar[tuple[str, ...]] = ("class_names", "shape", "sizes", "whitened", "files")
    _checks: ClassVar[dict[str, Check]] = {
        "format": exactly(FORMAT),
        "kind": exactly("dataset"),
        "name": Check("the name of a data set", _is_named(names.is_dataset_name)),
        "created": _TIME,
        "class_names": texts,
        "shape": _SHAPE,
        "sizes": holding("numbers of images", {"train": natural, "test": natural}),
        "whitened": flag,
        "config": json_object,
        "source": json_object,
        "versions": texts_by_name,
        "files": digests_by_path,
    }


@dataclass(frozen=True)
class RunManifest(_Manifest):
    """What a run is, how far it has come, and from what.

    Parameters
    ----------
    name
        The name of its folder.
    created, updated
        When, in UTC, as `now` gives it.
    status
        "running", "interrupted", "finished" or "failed".
    step
        The number of outer steps done.
    config
        The fully resolved configuration, JSON values only.
    seed
        From which, with the step, all randomness follows.
    dataset
        The name of the data set.
    parents
        From role ("dataset", and "sweep" where a sweep made it) to the name and manifest digest of what the
        run was made from or for; where it was imported, "file" to the name and digest of what from.
    versions
        As `versions` returns them.
    files
        From the path of each file the run vouches for, relative to its folder, to its SHA-256.
    log
        How many bytes of ``metrics.jsonl`` it vouches for, from the beginning, and their SHA-256: those up
        to the newest checkpoint while it is under way, all once it has ended.
    divergences
        Each time it diverged: the outer ``step``, from 1; what was ``not_finite``, the first cause first; the
        ``checkpoint`` that stood, None if there is none to go on from; and the learning ``rates`` until then.
        It may have gone on from there with lower ones.
    """

    name: str
    created: str
    updated: str
    status: Status
    step: int
    config: dict[str, Any]
    seed: int
    dataset: str
    parents: dict[str, dict[str, str]]
    versions: dict[str, str]
    files: dict[str, str]
    log: dict[str, Any] | None = None
    divergences: tuple[dict[str, Any], ...] = ()
    format: int = FORMAT
    kind: str = "run"

    @property
    def imported(self) -> bool:
        """Whether it was made elsewhere; its configuration then says how it is judged, not how made."""
        return "file" in self.parents

    _optional: ClassVar[tuple[str, ...]] = ("log", "divergences")
    _content: ClassVar[tuple[str, ...]] = ("config", "seed", "dataset", "parents", "files")
    _checks: ClassVar[dict[str, Check]] = {
        "format": exactly(FORMAT),
        "kind": exactly("run"),
        "name": Check("the name of a run", _is_named(names.is_run_name)),
        "created": _TIME,
        "updated": _TIME,
        "status": exactly(*get_args(Status)),
        "step": natural,
        "config": json_object,
        "seed": natural,
        "dataset": Check("the name of a data set", _is_named(names.is_dataset_name)),
        "parents": holding(
            "parents", {"dataset": _PARENT, "sweep": _PARENT, "file": _PARENT}, {"sweep", "file"}
        ),
        "versions": texts_by_name,
        "files": digests_by_path,
        "log": or_null(_LOG),
        "divergences": listing("divergences", _DIVERGENCE),
    }


@dataclass(frozen=True)
class SweepManifest(_Manifest):
    """What a sweep is, which runs it consists of, and what came of it.

    Parameters
    ----------
    name
        The name of its folder.
    created, updated
        When, in UTC, as `now` gives it.
    status
        "running", "interrupted" or "finished".
    config
        What is swept and how it is judged, with every run's fully resolved configuration, JSON values only.
    dataset
        The name of the data set.
    parents
        From role ("dataset") to the name and manifest digest of what all its runs are made from.
    runs
        The names of its runs so far, in the sweep's order.
    versions
        As `versions` returns them.
    files
        From the path of each file the sweep vouches for, relative to its folder, to its SHA-256.
    """

    name: str
    created: str
    updated: str
    status: Status
    config: dict[str, Any]
    dataset: str
    parents: dict[str, dict[str, str]]
    runs: tuple[str, ...]
    versions: dict[str, str]
    files: dict[str, str]
    format: int = FORMAT
    kind: str = "sweep"

    # Not the runs and files: the runs name the sweep as it is when it begins.
    _content: ClassVar[tuple[str, ...]] = ("config", "dataset", "parents")
    _checks: ClassVar[dict[str, Check]] = {
        "format": exactly(FORMAT),
        "kind": exactly("sweep"),
        "name": Check("the name of a sweep", _is_named(names.is_sweep_name)),
        "created": _TIME,
        "updated": _TIME,
        "status": exactly("running", "interrupted", "finished"),
        "config": json_object,
        "dataset": Check("the name of a data set", _is_named(names.is_dataset_name)),
        "parents": holding("parents", {"dataset": _PARENT}),
        "runs": listing("names of runs", Check("the name of a run", _is_named(names.is_run_name))),
        "versions": texts_by_name,
        "files": digests_by_path,
    }


AnyManifest = DatasetManifest | RunManifest | SweepManifest


def read_dataset_manifest(folder: Path) -> DatasetManifest:
    """Read the manifest of a data set's folder.

    Raises
    ------
    NotFound
        If the folder has none.
    Corrupt
        If it is damaged or of a newer format; the sentence lists everything that is wrong.
    """
    return DatasetManifest.from_json(read_current(folder / MANIFEST, "dataset"), folder / MANIFEST)


def read_run_manifest(folder: Path) -> RunManifest:
    """Read the manifest of a run's folder.

    Raises
    ------
    NotFound
        If the folder has none.
    Corrupt
        If it is damaged or of a newer format; the sentence lists everything that is wrong.
    """
    return RunManifest.from_json(read_current(folder / MANIFEST, "run"), folder / MANIFEST)


def read_sweep_manifest(folder: Path) -> SweepManifest:
    """Read the manifest of a sweep's folder.

    Raises
    ------
    NotFound
        If the folder has none.
    Corrupt
        If it is damaged or of a newer format; the sentence lists everything that is wrong.
    """
    return SweepManifest.from_json(read_current(folder / MANIFEST, "sweep"), folder / MANIFEST)


def write_manifest(folder: Path, manifest: AnyManifest) -> None:
    """Write a manifest into a folder, atomically.

    Raises
    ------
    ValueError
        If it couldn't be read back; nothing is written then.
    RcigError
        If the disk refuses it; the old manifest stands.
    """
    content = sealed(manifest.to_json())
    path = folder / MANIFEST
    try:
        type(manifest).from_json(parse(content.encode(), str(path)), path)
    except Corrupt as error:
        raise ValueError(f"not a manifest that could be read back: {error}") from error
    write_text_atomically(path, content)
