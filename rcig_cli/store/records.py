"""Manifests, the descriptions of data sets, runs, sweeps, sequences and checkpoints, as typed records.

A manifest is the document (see `documents`) ``manifest.json`` in the folder that it describes.  The types of
its fields are checked by pydantic, when a record is made and when one is read.
"""

import dataclasses
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from rcig_cli.extensions import has_changed
from rcig_cli.store.documents import digest_of, other_format, read_document, write_document
from rcig_cli.store.names import GroupKind

MANIFEST = "manifest.json"
_LIBRARIES = ("rcig-cli", "jax", "jaxlib", "flax", "optax", "safetensors", "zarr", "numpy")
_NOT_READ = ("stored_bytes", "log")  # fields that the manifests of some runs have
_CONFIG = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Status = Literal["running", "interrupted", "finished", "failed"]


class Parent(TypedDict):
    """An artifact or file that a run, sweep or sequence was made from, with its digest or SHA-256."""

    name: str
    digest: str


@dataclass(frozen=True, config=_CONFIG)
class CheckpointManifest:
    """The number of outer steps done, and from each file's path, relative to the folder, its SHA-256."""

    step: int
    files: dict[str, str]
    kind: Literal["checkpoint"] = "checkpoint"

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class _ArtifactManifest:
    """The fields that the manifests of data sets, runs, sweeps and sequences have in common.

    Parameters
    ----------
    name
        The name of its folder.
    created
        The time when it was created, in UTC, as `now` returns it.
    config
        The fully resolved settings, JSON values only.
    versions
        As `versions` returns them.
    files
        From each file's path, relative to the folder, to its SHA-256.  Those of others than data sets are
        the files of their results.
    """

    name: str
    created: str
    config: dict[str, Any]
    versions: dict[str, str]
    files: dict[str, str]

    _content: ClassVar[tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values."""
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """The SHA-256 of the fields that describe the content, which identifies a parent in its children.

        Times, paths and versions of libraries are not included, so the same data prepared again have the same
        digest.
        """
        document = self.to_json()
        return digest_of({name: document[name] for name in self._content})

    @property
    def as_parent(self) -> Parent:
        """The entry for it among the parents of a child."""
        return {"name": self.name, "digest": self.digest}


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class DatasetManifest(_ArtifactManifest):
    """The description of a prepared data set and its source.

    Parameters
    ----------
    class_names
        One for each class, in the order of the labels.
    shape
        Height, width and channels of one image, in pixels.
    sizes
        The number of images in "train" and in "test".
    whitened
        Whether the images are whitened (ZCA).
    source
        Where the data came from, JSON values only.
    """

    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: dict[str, int]
    whitened: bool
    source: dict[str, Any]
    kind: Literal["dataset"] = "dataset"

    _content: ClassVar[tuple[str, ...]] = ("class_names", "shape", "sizes", "whitened", "files")


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class _JobManifest(_ArtifactManifest):
    """The fields that the manifests of runs, sweeps and sequences have in common.

    Parameters
    ----------
    updated
        The time when the manifest was last written, in UTC.
    status
        "running", "interrupted", "finished" or (of a run or a sequence) "failed".
    dataset
        The name of the data set; of a sweep those of all its data sets, separated by commas.
    parents
        Of a run, from role to parent: "dataset"; "sweep" or "sequence" where one of these made the run;
        "file" where it was imported; "run" where it continues a finished one.  Of a sweep or sequence, from
        the name of each data set to it.
    """

    updated: str
    status: Status
    dataset: str
    parents: dict[str, Parent]


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class RunManifest(_JobManifest):
    """The description of a run, its progress and its parents.

    Parameters
    ----------
    step
        The number of outer steps done.
    seed
        All random numbers follow from it and the step.
    machine
        On what the run was started: the kind of device, the model and number of processors, and environment
        variables that have the same effect on the rounding of results; empty where it was imported.
    size
        The size of the distilled set, JSON values only (`presets.set_size.SetSize`); None if not recorded.
    divergences
        For each time that it diverged: the outer ``step``, from 1; the values that were ``not_finite``, the
        first cause first; the ``checkpoint`` to resume from, or None if there is none; and the learning
        ``rates`` until then.  The run may have been resumed with lower rates.
    budget
        Of a run whose settings were chosen so that it ends in a given time: the ``minutes``, the settings
        that were ``given`` and those that were ``chosen``, by name, the ``seconds_per_step`` that were
        measured, and the ``reason`` as text.  None for other runs.
    tags
        Words that the user gave it, to find it by.
    continues
        Of a run that continues a finished one: the name of that ``run`` and the ``step`` at which it ended.
        None for other runs.
    replanned
        Whether its number of steps was changed after it was started: more were given when it was resumed, or
        the user's function ended it.
    extensions
        What the run uses of the user's own code (``docs/extending.md``), by reference: what identifies the
        code (``module_sha256``, ``distribution``, ``version``) and, of a method, the ``metrics`` that it has.
    imported_as
        How the file of an imported run was read: the ``space`` of its images, the ``options`` that the user
        gave, and the ``assumptions``, each with ``about`` and ``text``.  None for other runs.
    commit
        The commit of this project that the run was started with, as `commit` returns it.
    """

    step: int
    seed: int
    machine: dict[str, str] = dataclasses.field(default_factory=dict)
    size: dict[str, Any] | None = None
    divergences: tuple[dict[str, Any], ...] = ()
    budget: dict[str, Any] | None = None
    tags: tuple[str, ...] = ()
    continues: dict[str, Any] | None = None
    replanned: bool = False
    extensions: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    imported_as: dict[str, Any] | None = None
    commit: str | None = None
    kind: Literal["run"] = "run"

    _content: ClassVar[tuple[str, ...]] = ("config", "seed", "dataset", "parents", "files")

    @property
    def imported(self) -> bool:
        """Whether it was imported; then its configuration is used only for evaluation."""
        return "file" in self.parents

    @property
    def follows_config(self) -> bool:
        """Whether all steps followed its configuration, as those of a new run of the same one would.

        Not if it was imported, and not if it diverged: it may have been resumed with lower rates, which its
        configuration has from then on.  Nor if its learning rates fell towards an end at another step.
        """
        falling = self.config.get("schedule", "constant") != "constant"
        other_end = self.replanned or self.continues is not None
        return not self.imported and not self.divergences and not (falling and other_end)

    @property
    def has_current_code(self) -> bool:
        """Whether the user's own code that it uses is what it was when the run was started.

        The modules must have been imported.
        """
        return not any(has_changed(reference, before) for reference, before in self.extensions.items())


@dataclass(frozen=True, kw_only=True, config=_CONFIG)
class GroupManifest(_JobManifest):
    """The description of a sweep or a sequence of tasks (continual learning), its runs and its results.

    The configuration of a sweep has the swept settings, and for every run its fully resolved configuration
    and the protocols of its evaluations.  For a run that is to end in a given time, it has the settings that
    were given instead, and the ``minutes``.  That of a sequence has the order of the classes, the protocol of
    evaluation after each task, and every run's fully resolved configuration.

    Parameters
    ----------
    kind
        "sweep" or "sequence".
    runs
        The names of its runs that exist, in their order.
    """

    kind: GroupKind
    runs: tuple[str, ...]

    # Without runs and files, because each run records the digest of its sweep when the sweep begins.
    _content: ClassVar[tuple[str, ...]] = ("config", "dataset", "parents")


AnyManifest = DatasetManifest | RunManifest | GroupManifest | CheckpointManifest
Manifest = TypeVar("Manifest", DatasetManifest, RunManifest, GroupManifest, CheckpointManifest)


def read_manifest(folder: Path, kind: type[Manifest]) -> Manifest:
    """Read a manifest, which must be a record of the given kind.

    Raises
    ------
    NotFound
        If the folder has none.
    Corrupt
        If it is damaged or of another format.
    """
    document = read_document(folder / MANIFEST)
    document = {name: value for name, value in document.items() if name not in _NOT_READ}
    try:
        return TypeAdapter(kind).validate_python(document, strict=False)
    except ValidationError as error:  # the checksum is right, so the file is not damaged
        raise other_format(folder / MANIFEST) from error


def write_manifest(folder: Path, manifest: AnyManifest) -> None:
    """Write a manifest into a folder, atomically.

    Raises
    ------
    ValueError
        For NaN and infinities; nothing is written.
    RcigError
        If it can't be written; an existing manifest is unchanged.
    """
    write_document(folder / MANIFEST, manifest.to_json())


def now() -> str:
    """Return the time in UTC as manifests write it, such as ``2025-03-01T12:30:00.123456+00:00``."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that results depend on, without importing them.

    Returns
    -------
    dict
        From the name of a distribution to its version; those that aren't installed are left out.
    """
    from importlib import metadata

    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the Git commit of this package, or None if it is installed without its repository.

    Returns
    -------
    str or None
        The first 12 digits of its hash, and ``-dirty`` if tracked files were changed since.
    """
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():  # an installed package may lie inside another project's repository
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # without Git, or in a repository of another user
        return None
