"""Import a distilled set from a file, as a finished run that is evaluated, shown and exported like others.

The run's configuration is the preset for its data set and number of images per class, which determines how
the set is evaluated.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.formats import read_file
from rcig_cli.data.exchange.hub import FetchedSet, fetched_set
from rcig_cli.data.exchange.imported_set import ImportedSet, check_set, class_names_of
from rcig_cli.data.exchange.kornia_zca import KorniaZca
from rcig_cli.data.exchange.records import SPACES, WHITENING, DatasetInfo, LazyArray, SetFile
from rcig_cli.data.hub import HUB
from rcig_cli.data.sources.source import Note
from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError, NotFound, RcigError, listed, shorten
from rcig_cli.presets.classes import class_list
from rcig_cli.presets.set_size import SetSize
from rcig_cli.runs.configuration import most_images, resolved
from rcig_cli.runs.distill.distilled import write_distilled
from rcig_cli.runs.exchange.stored_arrays import parametrized
from rcig_cli.runs.prepare.prepare import open_or_prepare
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.store.digests import sha256_of_file
from rcig_cli.store.documents import digest_of
from rcig_cli.store.names import NEWEST, RESERVED, check_tags
from rcig_cli.store.records import Parent, RunManifest, now, versions
from rcig_cli.store.store import Store

_TOLERANCE = 1e-3  # relative difference up to which two whitenings count as equal
_LIKE_A_RUN = re.compile(r"(run|sweep|sequence)[-_]?[0-9]*")  # stems of files that name imports badly
_LONGEST_STEM = 48  # characters, so that imported- fits before it, and -2, -3 and so on after it
_BATCH = 1000  # images


def import_set(
    store: Store,
    origin: str | Path,
    dataset: str,
    *,
    space: str | None = None,
    index: int | None = None,
    class_names: Sequence[str] | None = None,
    name: str | None = None,
    tags: Sequence[str] = (),
    report: Report,
) -> RunManifest:
    """Import a distilled set as a new run.

    Parameters
    ----------
    store
        The store that the data set is in, and that the run is added to.
    origin
        A file or folder; ``docs/exchange.md`` describes the formats.  Or ``hf:OWNER/NAME``, and perhaps ``@``
        and a branch, tag or commit, a data set repository of the Hugging Face Hub (``docs/hub.md``).
    dataset
        The prepared data set that the set was distilled from, or digits, which is prepared if needed.
    space
        What the values of the images are, one of `SPACES`; by default as the file states.
    index
        Which set of a file with a list of sets is imported, from 0.
    class_names
        The names of the data set's classes in the order of the file's class numbers; by default as the file
        states.
    name
        The run's name; by default a new one derived from the file's name.
    tags
        Words to find the run by.
    report
        Receives what was assumed, and the warnings.

    Returns
    -------
    RunManifest
        Its ``imported_as`` says how the file was read.

    Raises
    ------
    NotFound
        If there is no such file, repository or data set.
    ConfigError
        If the set doesn't fit the data set, or the name is invalid or taken.
    Corrupt
        If the file is damaged.
    RcigError
        If a download fails.
    """
    if not str(origin).startswith(HUB) and not Path(origin).exists():
        raise NotFound(f"There is no file or folder {origin}: check the path.")
    prepared, tags = open_or_prepare(store, dataset, report), check_tags(tags)
    chosen = None if name is None else store.check_new_run(name)
    if space is not None and space not in SPACES:
        raise ConfigError(f"--space {shorten(space)} is not available; choose from: {', '.join(SPACES)}.")
    info = _dataset_info(prepared)
    options = {
        "space": space,
        "index": index,
        "class_names": None if class_names is None else list(class_names),
    }
    with _opened(origin, info, report) as found:
        return _import(store, prepared, found, options, chosen, tuple(tags), report)


@contextmanager
def _opened(origin: str | Path, dataset: DatasetInfo, report: Report) -> Iterator[FetchedSet]:
    """Find the file or folder to import, for the time of a ``with`` block."""
    if not str(origin).startswith(HUB):
        path = Path(origin)
        yield FetchedSet(path, path.absolute().stem, _printable(path.absolute().name), str(path))
        return
    with fetched_set(str(origin), dataset, report) as found:
        try:
            yield found
        except RcigError as error:
            error.args = (str(error).replace(str(found.path), found.shown),)
            raise


def _import(
    store: Store,
    prepared: Prepared,
    found: FetchedSet,
    options: dict[str, Any],
    name: str | None,
    tags: tuple[str, ...],
    report: Report,
) -> RunManifest:
    """Import a file or folder; `import_set` describes the options."""
    path, info = found.path, _dataset_info(prepared)
    names = [name] if name is not None else _names_from(store, found.name)
    file = read_file(path, info, options["index"])
    every = prepared
    if options["class_names"] is None:
        prepared = _of_its_classes(prepared, class_names_of(file))
    info = _dataset_info(prepared)
    imported = check_set(file, info, options["space"], options["class_names"])
    whitening = prepared.whitening()
    notes = tuple(
        Note(note.about, note.text.replace(str(path), found.shown))
        for note in (
            *_class_notes(found.shown, prepared, every),
            *imported.notes,
            *_space_notes(imported, prepared, whitening),
        )
    )
    for note in notes:
        report.note(note.text)
    for sentence in _mismatches(found.shown, file, imported, prepared, whitening):
        report.warn(sentence)
    inputs = imported.inputs(whitening, partial(_fit_kornia_zca, prepared, whitening, report))
    imported_as = {"space": imported.space, "options": options, "assumptions": [vars(note) for note in notes]}
    if imported.parametrization is None:
        config = resolved(prepared, {"ipc": np.bincount(imported.classes).tolist(), "classes": prepared.only})
        stored = {"images": inputs}
    else:
        config, stored = parametrized(path, imported, prepared)
    arrays = {**stored, "labels": imported.labels, "classes": imported.classes}
    parents: dict[str, Parent] = {
        "dataset": prepared.manifest.as_parent,
        "file": {"name": found.origin, "digest": _digest(file)},
    }

    files: dict[str, str] = {}

    def manifest(name: str) -> RunManifest:
        moment = now()
        return RunManifest(
            name=name,
            created=moment,
            updated=moment,
            status="finished",
            step=0,
            config=config.to_json(),
            seed=config.seed,
            dataset=config.dataset,
            parents=parents,
            versions=versions(),
            size=SetSize.of(config, prepared.shape, prepared.classes).to_json(),
            files=files,
            tags=tags,
            imported_as=imported_as,
        )

    made, lock = store.create(
        "run", manifest, names=names, fill=lambda folder: files.update(write_distilled(folder, arrays))
    )
    lock.release()
    return made


def _names_from(store: Store, stem: str) -> Iterator[str]:
    """Yield unused names made from the file's name: itself, then with -2, -3 and so on.

    A name that could be mistaken for that of a run made here, such as ``run-1``, gets a prefix.
    """
    stem = re.sub(r"[^a-z0-9_-]+", "-", stem.lower())[:_LONGEST_STEM].strip("_-")
    if not stem or stem == NEWEST:
        stem = "imported"
    elif _LIKE_A_RUN.fullmatch(stem) or stem.startswith(RESERVED):
        stem = f"imported-{stem.replace('_', '-')}"
    for number in itertools.count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        if not store.dataset_path(name).exists() and not store.run_path(name).exists():
            yield name


def _dataset_info(prepared: Prepared) -> DatasetInfo:
    return DatasetInfo(prepared.name, prepared.shape, prepared.class_names, most_images(prepared))


def _of_its_classes(prepared: Prepared, names: Sequence[str] | None) -> Prepared:
    """Return the data set with the classes that a file names alone, if these are some of its classes."""
    ours = prepared.class_names
    if names is None or not 1 < len(names) < len(ours) or not set(names) < set(ours):
        return prepared
    if len(set(names)) < len(names):
        return prepared
    return prepared.of_classes(class_list([ours.index(name) for name in names], ours))


def _class_notes(shown: str, prepared: Prepared, every: Prepared) -> tuple[Note, ...]:
    """Say so if a file has only some of a data set's classes."""
    if prepared is every:
        return ()
    text = (
        f"{shown} has {prepared.classes} of the {every.classes} classes of {every.name} "
        f"({listed([*prepared.class_names])}), and is imported as a set of these."
    )
    return (Note("classes", text),)


def _printable(name: str) -> str:
    return name if name.isprintable() else shorten(name)


def _digest(file: SetFile) -> str:
    """The SHA-256 of a file, or of the list of the digests of several files."""
    if not file.files:
        return sha256_of_file(file.path)
    root = file.path if file.path.is_dir() else file.path.parent
    return digest_of({part.relative_to(root).as_posix(): sha256_of_file(part) for part in file.files})


def _fit_kornia_zca(prepared: Prepared, whitening: Whitening, report: Report) -> KorniaZca:
    """Fit kornia's whitening to the training images of a data set, which are turned back into pixels."""
    stored = prepared.stored("train")

    def batches() -> Iterator[npt.NDArray[np.uint8]]:
        for start in range(0, len(stored), _BATCH):
            yield whitening.pixels(stored[start : start + _BATCH])
            report.progress("fitting kornia's whitening", min(start + _BATCH, len(stored)), len(stored))

    return KorniaZca.fit(prepared.shape, batches())


def _space_notes(imported: ImportedSet, prepared: Prepared, whitening: Whitening) -> tuple[Note, ...]:
    """Say which statistics of the data set the conversion of the images depends on."""
    if imported.space == "kornia-zca":
        count = prepared.sizes["train"]
        text = f"Kornia's whitening is fitted to the {count} training images of {prepared.name}."
        return (Note("range", text),)
    if imported.space == "normalized":
        mean, std = (" ".join(f"{value:.4f}" for value in each) for each in (whitening.mean, whitening.std))
        text = f"The images are taken as normalized with the means {mean} and the deviations {std}."
        return (Note("range", text),)
    return ()


def _mismatches(
    shown: str, file: SetFile, imported: ImportedSet, prepared: Prepared, whitening: Whitening
) -> Iterator[str]:
    """Yield warnings if the file's whitening isn't that of the data set; ``shown`` names the file."""
    manifest = prepared.manifest
    if imported.space != "whitened":
        return
    theirs = {name: array for name, array in file.arrays.items() if name.startswith(WHITENING)}
    ours = {WHITENING + name: array for name, array in whitening.arrays().items()}
    if not theirs and manifest.shape[2] == 3 and not manifest.whitened:
        yield (
            f"{manifest.name} was prepared without ZCA whitening. If {shown} was made with whitening, as "
            "the published sets of colour images were, prepare the data set with --zca first."
        )
    if theirs and not (theirs.keys() == ours.keys() and all(_close(theirs[n], ours[n]) for n in ours)):
        yield (
            f"{shown} was whitened differently from {manifest.name} in this store; its images are used "
            "unchanged. To convert them, export the set as png from its original store, and import that."
        )


def _close(theirs: LazyArray, ours: npt.NDArray[np.float32]) -> bool:
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        return False
    return bool(np.linalg.norm(theirs.read() - ours) <= _TOLERANCE * np.linalg.norm(ours))
