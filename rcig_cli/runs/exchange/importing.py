"""Take in a distilled set made elsewhere, as a finished run that is judged, shown and exported like others.

Its configuration is the preset's for its data set and number of images per class: what it is judged with.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.foreign import (
    SPACES,
    WHITENING,
    ForeignSet,
    Opened,
    Space,
    Stored,
    Target,
    read_set,
)
from rcig_cli.data.exchange.opening import open_foreign
from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError
from rcig_cli.runs.distill.distilled import write_distilled
from rcig_cli.runs.prepare.prepared import Prepared, open_prepared, resolved
from rcig_cli.runs.report import Report
from rcig_cli.store.digests import sha256_of_file
from rcig_cli.store.documents import digest_of
from rcig_cli.store.files import AlreadyExists
from rcig_cli.store.layout import Store
from rcig_cli.store.manifest import RunManifest
from rcig_cli.store.names import check_dataset_name, shorten
from rcig_cli.store.provenance import now, versions

_ALIKE = 1e-3  # relative difference up to which two whitenings are the same but for rounding
_RESERVED = ("run_", "sweep_")
_LONGEST_STEM = 56


def import_set(
    store: Store,
    path: Path,
    dataset: str,
    report: Report,
    *,
    space: str | None = None,
    name: str | None = None,
) -> tuple[RunManifest, Space]:
    """Import a distilled set.

    Parameters
    ----------
    store
        Where its data set is, and where it goes.
    path
        A file or folder; ``docs/exchange.md`` has the formats.
    dataset
        The prepared data set that it stands for.
    report
        Where warnings go.
    space
        What its images are, one of `SPACES`; by default what the file or its kind says.
    name
        The run's name; by default made from the file's, and unique.

    Returns
    -------
    tuple
        The run's manifest, and what the images were.

    Raises
    ------
    NotFound
        If there is no such file or data set.
    ConfigError
        If the set isn't one of this data set, or the name can't be or is taken.
    Corrupt
        If the file is damaged.
    """
    prepared = open_prepared(store, dataset)
    names = _given(store, name) if name is not None else _names_from(store, path)
    known = _space(space)
    target = _target(prepared)
    opened = open_foreign(path, target)
    foreign = read_set(opened, target, known)
    whitening = prepared.whitening()
    _compare(opened, foreign, prepared, whitening, report)
    arrays = {"images": foreign.inputs(whitening), "labels": foreign.labels, "classes": foreign.classes}
    ipc = len(foreign.classes) // prepared.classes
    made = _Maker(
        prepared, ipc, {"name": _printable(path.absolute().name), "digest": _digest(opened)}, arrays
    )
    return _create(store, names, made), foreign.space


class _Maker:
    """Fills the folder of a run of any name."""

    def __init__(
        self, prepared: Prepared, ipc: int, file: dict[str, str], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        self._config = resolved(prepared, {"ipc": ipc})
        self._parents = {"dataset": prepared.manifest.as_parent, "file": file}
        self._arrays = arrays

    def fill(self, name: str, folder: Path) -> RunManifest:
        moment = now()
        return RunManifest(
            name=name,
            created=moment,
            updated=moment,
            status="finished",
            step=0,
            config=self._config.to_json(),
            seed=self._config.seed,
            dataset=self._config.dataset,
            parents=self._parents,
            versions=versions(),
            files=write_distilled(folder, self._arrays),
        )


def _create(store: Store, names: Iterable[str], made: _Maker) -> RunManifest:
    taken = ""
    for name in names:
        try:
            return store.create_named_run(name, partial(made.fill, name))
        except AlreadyExists:
            taken = name
    raise ConfigError(f"There is a run {taken} already: choose another --name.")


def _given(store: Store, name: str) -> list[str]:
    """The name the user wants, if it can be had."""
    check_dataset_name(name)
    if name.startswith(_RESERVED):
        raise ConfigError(
            f"{name!r} can't name an imported run: choose one that doesn't begin with run_ or sweep_."
        )
    if store.dataset_path(name).exists():
        raise ConfigError(f"{name!r} is a data set here: choose another --name.")
    if store.run_path(name).exists():
        raise ConfigError(f"There is a run {name} already: choose another --name.")
    return [name]


def _names_from(store: Store, path: Path) -> Iterator[str]:
    """Names made from a file's: the first, the second if that is taken, and so on."""
    word = (
        re.sub(r"[^a-z0-9_-]+", "-", path.absolute().stem.lower())[:_LONGEST_STEM].strip("_-") or "imported"
    )
    if word.startswith(_RESERVED):
        word = word.replace("_", "-", 1)
    for number in itertools.count(1):
        name = word if number == 1 else f"{word}-{number}"
        if not store.dataset_path(name).exists() and not store.run_path(name).exists():
            yield name


def _space(word: str | None) -> Space | None:
    for space in SPACES:
        if word == space:
            return space
    if word is not None:
        raise ConfigError(f"--space {shorten(word)} is not available; there are: {', '.join(SPACES)}.")
    return None


def _target(prepared: Prepared) -> Target:
    """What a set of the data set must be; it has no more images of a class than there are real ones."""
    manifest = prepared.manifest
    fewest = int(np.bincount(prepared.labels("train"), minlength=prepared.classes).min())
    return Target(manifest.name, manifest.shape, manifest.class_names, fewest * prepared.classes)


def _printable(name: str) -> str:
    return name if name.isprintable() else shorten(name)


def _digest(opened: Opened) -> str:
    """The SHA-256 of the file, or of the list of those of a folder's files."""
    if not opened.path.is_dir():
        return sha256_of_file(opened.path)
    return digest_of(
        {file.relative_to(opened.path).as_posix(): sha256_of_file(file) for file in opened.files}
    )


def _compare(
    opened: Opened, foreign: ForeignSet, prepared: Prepared, whitening: Whitening, report: Report
) -> None:
    """Warn where the file says that its set belongs to something else than what is here."""
    manifest = prepared.manifest
    if opened.class_names is not None and opened.class_names != manifest.class_names:
        report.warn(
            f"{opened.path} calls its classes otherwise than {manifest.name}: is it of that data set?"
        )
    if foreign.space != "whitened":
        return
    theirs = {name: stored for name, stored in opened.arrays.items() if name.startswith(WHITENING)}
    ours = {WHITENING + name: array for name, array in whitening.arrays().items()}
    if not theirs and manifest.shape[2] == 3 and not manifest.whitened:
        report.warn(
            f"{manifest.name} was prepared without ZCA: if {opened.path} was made with it, as the published "
            "sets in colour were, prepare the data set with it first."
        )
    if theirs and not (theirs.keys() == ours.keys() and all(_alike(theirs[n], ours[n]) for n in ours)):
        report.warn(
            f"{opened.path} was whitened otherwise than {manifest.name} is here, and is judged as it is. To "
            "take its natural colours instead, export it as png where it was made, and import that."
        )


def _alike(theirs: Stored, ours: npt.NDArray[np.float32]) -> bool:
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        return False
    return bool(np.linalg.norm(theirs.read() - ours) <= _ALIKE * np.linalg.norm(ours))
