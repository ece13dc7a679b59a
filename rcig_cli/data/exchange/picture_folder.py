"""Distilled sets as a folder of class folders of pictures.

A class folder is called as its class, or by its number from 0.  Ours have ``labels.npz`` beside them, with
the soft labels that pictures can't hold: ``files [n]``, paths within the folder, and ``labels [n, C]``.
"""

from __future__ import annotations

import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.foreign import WHITENING, Opened, Stored, Target
from rcig_cli.data.exchange.npz_set import stored
from rcig_cli.data.exchange.outgoing import OutgoingSet
from rcig_cli.data.exchange.pictures import png, read_pictures
from rcig_cli.data.sources.folder_layout import Files, find_files
from rcig_cli.data.sources.npz_labels import class_name_texts
from rcig_cli.data.sources.npz_member import Member, members
from rcig_cli.errors import ConfigError

LABELS = "labels.npz"
_LONGEST_NAME = 100


def open_set(path: Path, target: Target) -> Opened:
    """Open a folder of class folders; nothing but names has been read.

    Raises
    ------
    ConfigError
        If its folders aren't the data set's classes, a link leads out of it, or ``labels.npz`` is about
        other files.
    Corrupt, RcigError
        If ``labels.npz`` is damaged, or the folder can't be read.
    """
    layout = find_files(path)
    if layout.test is not None:
        raise ConfigError(f"{path} is split into training and test images: it is no distilled set.")
    if layout.notes:
        raise ConfigError(f"{path} can't be imported as it is. {layout.notes[0]}")
    files, count = layout.train, len(layout.train)
    numbers = np.array(_class_numbers(path, layout.class_names, target), dtype=np.int32)[files.labels]
    classes = Stored(numbers.shape, numbers.dtype, lambda: numbers)
    read = partial(read_pictures, [(file, None) for file in files.paths], target)
    arrays = {"images": Stored((count, *target.shape), np.dtype(np.uint8), read), "labels": classes}
    names, used = None, tuple(files.paths)
    if (path / LABELS).is_file() and not (path / LABELS).is_symlink():
        found = members(path / LABELS)
        names = class_name_texts(found["class_names"]) if "class_names" in found else None
        arrays |= {"labels": _soft_labels(path, found, files), "classes": classes}
        arrays |= {name: stored(member) for name, member in found.items() if name.startswith(WHITENING)}
        used = (*used, path / LABELS)
    return Opened(path, arrays, "pixels", names, used)


def _class_numbers(path: Path, folders: tuple[str, ...], target: Target) -> list[int]:
    """The class that each folder stands for."""
    if set(folders) == set(target.class_names):
        return [target.class_names.index(folder) for folder in folders]
    numbers = [int(folder) if folder.isascii() and folder.isdecimal() else -1 for folder in folders]
    if sorted(numbers) == list(range(len(target.class_names))):
        return numbers
    counted = range(len(target.class_names))
    pairs = zip(folders, numbers, strict=True)
    unknown = [name for name, number in pairs if name not in target.class_names and number not in counted]
    first = f", among them {unknown[0]!r}" if unknown else ""
    raise ConfigError(
        f"{path} has {len(folders)} class folders{first}, and {target.name} has {len(target.class_names)} "
        "classes: call the folders as the classes (see `rcig show`), or by their numbers from 0."
    )


def _soft_labels(path: Path, found: dict[str, Member], files: Files) -> Stored:
    """The labels of ``labels.npz``, in the order of ``files``."""
    texts, labels = found.get("files"), found.get("labels")
    ours = [file.relative_to(path).as_posix() for file in files.paths]
    if texts is None or labels is None or texts.dtype.kind != "U" or labels.shape[:1] != texts.shape:
        raise ConfigError(f"{path / LABELS} must have the arrays files, [n] texts, and labels, [n, C].")
    theirs = texts.read().tolist() if texts.shape == (len(ours),) else []
    if len(theirs) != len(ours) or set(theirs) != set(ours):
        raise ConfigError(
            f"{path / LABELS} is about other files than those in {path}: remove it, or mend it."
        )
    order = np.argsort(theirs)[np.argsort(np.argsort(ours))]

    def read() -> npt.NDArray[Any]:
        return stored(labels).read()[order]

    return Stored(labels.shape, labels.dtype, read)


def write_set(folder: Path, outgoing: OutgoingSet) -> None:
    """Write a distilled set into an empty folder."""
    names = _folder_names(outgoing.class_names)
    files: list[str] = []
    counts = dict.fromkeys(names, 0)
    for pixels, number in zip(outgoing.pixels(), outgoing.classes, strict=True):
        name = names[number]
        files.append(f"{name}/{counts[name]:05d}.png")
        counts[name] += 1
        (folder / name).mkdir(exist_ok=True)
        (folder / files[-1]).write_bytes(png(pixels))
    arrays: dict[str, Any] = {
        "files": np.array(files),
        "labels": outgoing.labels,
        "class_names": np.array(outgoing.class_names),
        **outgoing.whitening_arrays(),
    }
    with (folder / LABELS).open("xb") as stream:
        np.savez(stream, **arrays)


def _folder_names(class_names: tuple[str, ...]) -> list[str]:
    """The classes' names where all can be those of folders, on any system; else their numbers."""
    alike = {unicodedata.normalize("NFKC", name).casefold() for name in class_names}
    distinct = len(alike) == len(class_names)
    if distinct and all(map(_can_be_folder, class_names)):
        return list(class_names)
    digits = len(str(len(class_names) - 1))
    return [f"{number:0{digits}d}" for number in range(len(class_names))]


def _can_be_folder(name: str) -> bool:
    plain = name.isprintable() and not set(name) & set('/\\:*?"<>|')
    return plain and name == name.strip(" .") and 0 < len(name) <= _LONGEST_NAME
