"""The files of Parquet and Arrow data sets, and the splits that they belong to.

::

    data.parquet                                  a file: all of it is for training
    [FOLDER/]train-00000-of-00002.parquet         a folder of shards, whose names tell the split
    [FOLDER/]train/0000.parquet                   the same, as the Hugging Face Hub converts data sets
    [FOLDER/]mnist-train.arrow                    the same, in the cache of the library datasets
    dataset_dict.json, train/state.json, ...      save_to_disk of several splits
    state.json, data-00000-of-00001.arrow         save_to_disk of one split
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeVar

from rcig_cli.data.files import open_file
from rcig_cli.data.formats.split_names import split_kinds
from rcig_cli.data.sources.source import Note
from rcig_cli.data.tables import SUFFIXES
from rcig_cli.errors import ConfigError, Corrupt

_DICTIONARY, _STATE = "dataset_dict.json", "state.json"
SAVED = (_DICTIONARY, _STATE)
"""Files of which ``save_to_disk`` writes one into its folder."""

_LARGEST_JSON = 2**23  # bytes
_NO_SET = re.compile(r"cache-.*\.arrow|metadata\.parquet")  # results of functions, lists of image files

_SHARD = re.compile(r"(?P<split>.+?)-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?")
_PARTIAL = "partial-"  # before the name of a split of which the Hub converted only the beginning


P = TypeVar("P", bound=PurePath)


@dataclass(frozen=True)
class TableFiles:
    """The files of a data set.

    Attributes
    ----------
    splits
        The files of ``"train"`` and, if they exist, ``"test"`` and ``"val"``, in order.
    inside
        The folder that links may not lead out of.
    notes
        What was passed over.
    """

    splits: Mapping[str, list[Path]]
    inside: Path
    notes: tuple[Note, ...]


def first_table(path: Path) -> Path | None:
    """Return a Parquet or Arrow file: the path, or the first in a folder where Hugging Face has them."""
    if not path.is_dir():
        return path if path.suffix.lower() in SUFFIXES and path.is_file() else None
    return next(_tables(path), None)


def is_saved(folder: Path | str) -> bool:
    """Whether ``save_to_disk`` wrote a folder."""
    return any(os.path.isfile(os.path.join(folder, name)) for name in SAVED)


def find_tables(path: Path) -> TableFiles:
    """Find the files of each split in a path with a `first_table` or that `is_saved`.

    Raises
    ------
    ConfigError
        If files are missing, there are several data sets, or no training split.
    Corrupt
        If a file that lists others is damaged.
    """
    inside = _inside(path)
    if (path / _DICTIONARY).is_file():
        names = _listed(path / _DICTIONARY, inside, "splits", str)
        found = {name: _saved(path / name, inside) for name in names}
    elif (path / _STATE).is_file():
        found = {"train": _saved(path, inside)}
    elif path.is_dir():
        found = _by_split(path)
    else:
        return TableFiles({"train": [path]}, inside, _part_of_more(path))
    return _choose(path, found, inside)


def _inside(path: Path) -> Path:
    """The folder that links may not lead out of; the files in the cache of the Hub are links within it."""
    folder = path if path.is_dir() else path.parent
    for parent in (folder, *folder.parents):
        if parent.name == "snapshots" and (parent.parent / "blobs").is_dir():
            return parent.parent
    return folder


def _document(path: Path, inside: Path) -> dict[str, Any]:
    """Read a JSON object."""
    with open_file(path, most=_LARGEST_JSON, inside=inside) as file:
        content = file.read()
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{path} is damaged: save the data set again.") from error
    return found if isinstance(found, dict) else {}


def _listed(path: Path, inside: Path, key: str, kind: type) -> list[Any]:
    """Return the list ``key`` of a JSON file, which isn't empty."""
    found = _document(path, inside).get(key)
    if not (found and isinstance(found, list) and all(isinstance(each, kind) for each in found)):
        raise Corrupt(f"{path} is damaged: save the data set again.")
    return found


def _saved(folder: Path, inside: Path) -> list[Path]:
    """The files that ``save_to_disk`` wrote for one split, in order."""
    if _document(folder / _STATE, inside).get("_indices_data_files"):
        raise ConfigError(
            f"{folder} was saved by an old version of datasets, with a selection of its rows: load "
            "it there, and save flatten_indices() of it."
        )
    files = _listed(folder / _STATE, inside, "_data_files", dict)
    return [folder / str(file.get("filename")) for file in files]


def is_table(name: str) -> bool:
    """Whether a file of this name may be a part of a data set."""
    return name.lower().endswith(SUFFIXES) and not _NO_SET.fullmatch(name)


def _tables(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Yield the files of tables in a folder, in its folders, and in their folders with names of splits."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if not entry.is_dir(follow_symlinks=False):
            if is_table(entry.name):
                yield Path(entry.path)
        elif (depth == 0 or (depth == 1 and _names_split(Path(entry.name)))) and not is_saved(entry.path):
            yield from _tables(Path(entry.path), depth + 1)


def _names_split(folder: PurePath) -> bool:
    return bool(split_kinds([folder.name.removeprefix(_PARTIAL)]))


def data_sets(root: P, files: Iterable[P]) -> dict[P, dict[str, list[P]]]:
    """Group the files of tables in ``root`` by data set, each in a folder of its own, and by name of a split.

    That is the name of the file's folder, if it names a split; else what precedes the number of a shard;
    else the name of the file.
    """
    sets: dict[P, dict[str, list[P]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        folder, shard = file.parent, _SHARD.fullmatch(file.stem)
        name = shard["split"] if shard else file.stem
        if folder != root and _names_split(folder):
            folder, name = folder.parent, folder.name.removeprefix(_PARTIAL)
        sets[folder][name].append(file)
    return sets


def _by_split(root: Path) -> dict[str, list[Path]]:
    """The files of the only data set in a folder, by split."""
    sets = data_sets(root, _tables(root))
    if len(sets) > 1:
        names = ", ".join(str(folder.relative_to(root)) for folder in sets)
        raise ConfigError(
            f"{root} holds {len(sets)} data sets, in {names}: pass the folder of one, "
            f"such as --from {next(iter(sets))}."
        )
    (found,) = sets.values()
    for name, files in found.items():
        _check_complete(root, name, files)
    return found


def _check_complete(root: Path, split: str, files: list[Path]) -> None:
    """Check that the files of a split are of one kind, and that all shards are there, by their numbers."""
    shards = [_SHARD.fullmatch(file.stem) for file in files]
    kinds = {
        (file.parent, file.suffix.lower(), shard is None) for file, shard in zip(files, shards, strict=True)
    }
    if len(kinds) > 1:
        names = ", ".join(str(file.relative_to(root)) for file in files[:10])
        raise ConfigError(
            f"{root} has files of several kinds for its {split} split, {names}: they may hold the same "
            "images, so keep one kind."
        )
    numbers = sorted(int(shard["number"]) for shard in shards if shard)
    for count in {int(shard["count"]) for shard in shards if shard}:
        if numbers != list(range(count)):
            raise ConfigError(
                f"{root} has the files {', '.join(map(str, numbers[:10]))} of {count} of its {split} split, "
                "numbered from 0: each must be there once. Download it again."
            )


def _part_of_more(file: Path) -> tuple[Note, ...]:
    shard = _SHARD.fullmatch(file.stem)
    if not shard or int(shard["count"]) == 1:
        return ()
    text = f"{file.name} is one of {int(shard['count'])} files; --from FOLDER reads them all."
    return (Note("size", text),)


def _choose(path: Path, found: Mapping[str, list[Path]], inside: Path) -> TableFiles:
    """Choose the splits among those that a folder has."""
    kinds = split_kinds(found)
    splits: dict[str, list[str]] = defaultdict(list)
    for name, kind in kinds.items():
        splits[kind].append(name)
    if not splits and len({_letters(name) for name in found}) == 1:
        splits["train"] = list(found)
    if "train" not in splits:
        raise ConfigError(
            f"{path} has {', '.join(sorted(found)[:10])}, none of which names a training split: rename it to "
            "train, or pass the file or folder of a single split."
        )
    notes = []
    for split, names in splits.items():
        if len({_letters(name) for name in names}) > 1:
            raise ConfigError(
                f"{path} has {' and '.join(names)}, each of which may be its {split} split: keep one."
            )
        if len(names) > 1:
            notes.append(Note("splits", f"Its {split} split is in {', '.join(names[:10])}."))
    files = {split: [file for name in names for file in found[name]] for split, names in splits.items()}
    others = [name for name in found if not any(name in names for names in splits.values())]
    if others:
        count = sum(len(found[name]) for name in others)
        text = f"{count} files that are in neither split are passed over: {', '.join(others[:10])}."
        notes.append(Note("skipped", text))
    if any(file.parent.name.startswith(_PARTIAL) for some in files.values() for file in some):
        notes.append(Note("size", "The Hub converted only the beginning of this data set to Parquet."))
    return TableFiles(files, inside, tuple(notes))


def _letters(name: str) -> str:
    return re.sub(r"[\W\d_]", "", name.lower())
