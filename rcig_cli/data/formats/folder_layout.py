"""Which splits and classes the image files of a folder have: see `class_folders` for the layouts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rcig_cli.data.formats.labels_files import LabelsFile, read_labels
from rcig_cli.data.formats.split_names import Kind, is_general, split_kinds
from rcig_cli.data.sources.image_search import Folder, named, search
from rcig_cli.data.sources.source import Note, Topic
from rcig_cli.errors import ConfigError

_METADATA = ("metadata.csv", "metadata.jsonl")  # of Hugging Face's ImageFolder
_NUMBERED = re.compile(r"(?P<word>.*[^\W\d_].*?)[ ._-]+\(?\d+\)?", re.DOTALL)  # such as "cat.0" or "cat (1)"
_NO_LETTERS = re.compile(r"[\W\d_]+")
_MASK = re.compile(r"[ ._-]+(?:masks?|seg|segmentation|superpixels|gt|groundtruth)(?:[ ._-]?\d+)?$", re.I)
_CAMERAS = {"img", "image", "dsc", "dscn", "pic", "picture", "photo", "frame", "scan", "screenshot", "file"}

Classified = dict[str, list[str]]
"""The paths of the images of each class, by its name in the files."""


@dataclass(frozen=True)
class FoundImages:
    """The images of a folder and their classes.

    Attributes
    ----------
    train, test
        The images of each split; ``test`` is None if there is no such split.
    notes
        What was assumed and ignored.
    """

    train: Classified
    test: Classified | None
    notes: tuple[Note, ...]


def find_images(root: Path, labels: Path | None = None) -> FoundImages:
    """Find the images of a folder, their splits and their classes.

    Parameters
    ----------
    root
        The folder.
    labels
        A labels file, if the user gave one.

    Raises
    ------
    ConfigError
        If there are no two classes, or it isn't clear what are splits and what classes.
    OSError
        If the system refuses to read the folder.
    """
    return _Finder(root, labels).find()


class _Finder:
    """Finds the images of one folder, and collects the notes about how it was read.

    ``tree`` is the folder of the splits or classes, and ``table`` the labels file for all of it, if any.
    """

    def __init__(self, root: Path, labels: Path | None) -> None:
        self.root = root
        self.notes: list[Note] = []
        self.search = search(root)
        self.tree = self._enter(self.search.found, into_splits=False)
        if not self.tree.count:
            ignored = " ".join(note.text for note in self.search.notes())
            raise ConfigError(
                f"{root} has no image files. {ignored}".rstrip()
                + " Save images as PNG or JPEG; docs/datasets.md lists the names that files of arrays need."
            )
        # A labels file in the folder of a split is for that split, and the others have one of that name.
        splits = [self._place(self.tree.filled[name]) for name in split_kinds(self.tree.filled)]
        self.of_splits = labels.name if labels and labels.parent in splits else None
        if labels is None or self.of_splits:
            self.table = self._table_in(self.tree)
        else:
            self.table = self._read(labels, self.tree)

    def find(self) -> FoundImages:
        if self.table is not None and self.table.kinds:
            train, test = self._choose(self._parts_of_table(self.table))
        elif splits := self._splits():
            train, test = self._choose(self._parts(splits))
        else:
            train, test = self._classes(self.tree), None
        if train is None or len(train) < 2:
            where = self._place(self.tree)
            raise ConfigError(
                f"{where} has no training images of two or more classes. {self._ways_out(self.tree)}"
            )
        if test is not None:
            test = self._matched(train, test)
        return FoundImages(train, test, (*self.notes, *self.search.notes()))

    def _note(self, about: Topic, text: str) -> None:
        self.notes.append(Note(about, text))

    def _place(self, folder: Folder) -> Path:
        return self.root / folder.path

    def _enter(self, folder: Folder, *, into_splits: bool = True) -> Folder:
        """Enter the only folder in a folder, as an unpacked archive often has, and say so."""
        entered = _unwrapped(folder, into_splits=into_splits)
        if entered is not folder:
            self._note("format", f"The images are in {self._place(entered)}.")
        return entered

    # Splits.

    def _splits(self) -> dict[str, Kind]:
        """Return the folders that are splits, and what each is for; none if the folders are classes."""
        where, filled = self._place(self.tree), self.tree.filled
        kinds = split_kinds(filled)
        others = [name for name in filled if name not in kinds]
        training = [name for name, kind in kinds.items() if kind == "train"]
        if not training:
            if kinds and not others:
                raise ConfigError(f"{where} has no training images, only {' and '.join(kinds)}.")
            return {}
        if others and len(training) == len(kinds):  # no folder for testing
            if any(filled[name].filled for name in training):
                raise ConfigError(
                    f"{where / training[0]} may be a training split, or a class beside {named(others)}: "
                    "rename it, or move the other folders elsewhere."
                )
            return {}  # "train" may be a class, as beside "bus" and "car"
        return kinds

    def _parts(self, kinds: Mapping[str, Kind]) -> dict[str, Classified | None]:
        """Return the classes of each split folder, or None if they are unknown."""
        self._note_empty(self.tree)
        unused = self.tree.count - sum(self.tree.folders[name].count for name in kinds)
        if unused:
            others = [name for name in self.tree.filled if name not in kinds]
            where = f" Their folders: {named(others)}." if others else ""
            text = f"Images in {self._place(self.tree)} outside of the splits, ignored: {unused}.{where}"
            self._note("skipped", text)
        parts: dict[str, Classified | None] = {}
        known: Classified | None = None
        for name in sorted(kinds, key=lambda name: kinds[name] != "train"):
            parts[name] = self._classes(self.tree.folders[name], known)
            known = known or parts[name]
        return parts

    def _choose(self, parts: Mapping[str, Classified | None]) -> tuple[Classified | None, Classified | None]:
        """Choose the training and the test split among the parts of the data, which are named as splits."""
        usable: dict[Kind, str] = {}
        kinds = split_kinds(parts)
        for name, kind in kinds.items():
            if parts[name] is None:
                self._note("splits", f"The split {name} has no classes and is not used.")
            elif kind in usable:
                raise ConfigError(
                    f"{self._place(self.tree)} has several splits for the same purpose, {usable[kind]} and "
                    f"{name}: move one of them elsewhere."
                )
            else:
                usable[kind] = name
        train, test, validation = (usable.get(kind) for kind in ("train", "test", "val"))
        if test and validation:
            self._note("splits", f"The split {validation} is not used.")
        test = test or validation
        if test:
            self._note("splits", f"The test split is {test}.")
        return parts[train] if train else None, parts[test] if test else None

    def _matched(self, train: Classified, test: Classified) -> Classified:
        """Return the test images by the names of the training classes, in which "1" may be "00001"."""
        if all(name.isdecimal() for name in (*train, *test)):
            numbers = {int(name): name for name in train}
            test = {numbers.get(int(name), name): paths for name, paths in test.items()}
        unknown = [name for name in test if name not in train]
        if unknown:
            raise ConfigError(
                f"The test split of {self.root} has classes without training images: {named(unknown)}. "
                "Rename or remove them."
            )
        return test

    # Classes.

    def _classes(self, part: Folder, known: Classified | None = None) -> Classified | None:
        """Return the classes of the images in a split, or in all; None if nothing says what they are.

        ``known`` are the classes of the training split: beginnings of file names are classes only if they
        are among them.
        """
        table = self.table or self._table_in(part)
        if table is not None and (listed := self._listed(part, table)):
            return listed
        part = self._enter(part)
        if part.filled:
            return self._class_folders(part)
        found = self._by_prefix(part)
        if found is None or (known is not None and not found.keys() <= known.keys()):
            return None
        text = f"The names of the files in {self._place(part)} begin with their classes: {part.images[0]}."
        self._note("classes", text)
        return found

    def _class_folders(self, part: Folder) -> Classified:
        where, filled = self._place(part), part.filled
        self._check_class_folders(part)
        if part.images:
            text = f"Images in {where} outside of the class folders, ignored: {len(part.images)}."
            self._note("skipped", text)
        self._note_empty(part)
        nested = [
            os.path.relpath(inner.path, part.path or ".")
            for folder in map(_unwrapped, filled.values())
            for inner in folder.filled.values()
        ]
        if nested:
            text = f"The classes are the folders in {where}, not the folders in those: {named(nested)}."
            self._note("classes", text)
        classes = {name: list(folder.files()) for name, folder in filled.items()}
        masks = {path for paths in classes.values() for path in _masks(paths)}
        if masks:
            text = f"Masks of other images in {where}, ignored: {named(sorted(masks))}."
            self._note("skipped", text)
        return {name: [path for path in paths if path not in masks] for name, paths in classes.items()}

    def _check_class_folders(self, part: Folder) -> None:
        """Refuse folders that may be something else than classes."""
        where, filled = self._place(part), part.filled
        if len(part.images) > part.count - len(part.images):
            raise ConfigError(f"Most images in {where} are outside of its folders. {self._ways_out(part)}")
        filled = {name: _unwrapped(folder) for name, folder in filled.items()}
        for name, folder in filled.items():
            if same := [inner for inner in folder.filled if inner in filled and inner != name]:
                raise ConfigError(
                    f"{self._place(folder)} and the folder around it both have {named(same)} in them: "
                    "move or remove the copy."
                )
        inner = {tuple(folder.filled) for folder in filled.values()}
        direct = any(folder.images for folder in filled.values())
        if not direct and len(filled) > 1 and len(inner) == 1 and len(names := inner.pop()) > 1:
            raise ConfigError(
                f"The folders in {where}, {named(list(filled))}, have the same folders in them, "
                f"{named(list(names))}, so either may be the classes. Rearrange them as train/CLASS and "
                f"test/CLASS, or pass {_with_labels()}"
            )
        for name, folder in filled.items():
            kinds = split_kinds(folder.filled)
            if len(filled) > 1 and len(set(kinds.values())) > 1:
                raise ConfigError(
                    f"{self._place(folder)} has the splits {named(list(kinds))} in it, beside "
                    f"{named([other for other in filled if other != name])}: rearrange the folders as "
                    "train/CLASS and test/CLASS, or pass one of them with --from."
                )
        general = next(filter(is_general, filled), None)
        if general is not None and len(filled) > 1:
            raise ConfigError(
                f"{where} has {named(list(filled))}, of which {general} doesn't look like a class. "
                f"Rename it if it is one, or pass {where / general} with --from, or pass {_with_labels()}"
            )

    def _note_empty(self, folder: Folder) -> None:
        empty = [name for name in folder.folders if name not in folder.filled]
        for path in (folder.folders[name].path for name in empty):
            if unread := next((each for each in self.search.unread if each.startswith(path + "/")), None):
                raise ConfigError(
                    f"{self.root / path} has only images in formats that aren't read, such as {unread}: "
                    "convert them to JPEG or PNG."
                )
        if empty:
            self._note("skipped", f"Folders in {self._place(folder)} without images: {named(empty)}.")

    def _by_prefix(self, part: Folder) -> Classified | None:
        """Classes from file names such as ``cat.0.jpg``: two or more words, each of several files."""
        found: Classified = {}
        for name in part.images:
            match = _NUMBERED.fullmatch(os.path.splitext(name)[0])
            if match is None or split_kinds([match["word"]]):
                return None
            if _NO_LETTERS.sub("", match["word"]).lower() in _CAMERAS:  # also "IMG_20260101_1"
                return None
            found.setdefault(match["word"], []).append(f"{part.path}/{name}" if part.path else name)
        if len(found) < 2 or min(map(len, found.values())) < 2:
            return None
        return found

    # Labels files.

    def _read(self, path: Path, images: Folder, *, optional: bool = False) -> LabelsFile | None:
        table = read_labels(path, images, optional=optional)
        if table is not None:
            self.notes += table.notes
            if path.is_relative_to(self.root):
                self.search.not_ignored(path)
        return table

    def _table_in(self, folder: Folder) -> LabelsFile | None:
        """Read the labels file of a folder, if it has the name that the user gave, or that of ImageFolder."""
        if self.of_splits and self.of_splits in folder.tables:
            return self._read(self._place(folder) / self.of_splits, folder)
        name = next((name for name in _METADATA if name in folder.tables), None)
        return self._read(self._place(folder) / name, folder, optional=True) if name else None

    def _listed(self, part: Folder, table: LabelsFile) -> Classified:
        """Return the images in a folder that a labels file lists."""
        found: Classified = {}
        for path in part.files():
            if path in table.classes:
                found.setdefault(table.classes[path], []).append(path)
        return found

    def _parts_of_table(self, table: LabelsFile) -> dict[str, Classified | None]:
        """Return the images of each split that a labels file names."""
        parts: dict[str, Classified | None] = {}
        for path in self.tree.files():
            if path in table.kinds:
                part = parts.setdefault(table.kinds[path], {})
                assert part is not None
                part.setdefault(table.classes[path], []).append(path)
        return parts

    def _ways_out(self, folder: Folder) -> str:
        table = self._place(folder) / folder.tables[0] if len(folder.tables) == 1 else "FILE"
        return (
            "Put the images of each class into a folder of its own, all of them in the folder that --from "
            f"names; or pass {_with_labels(table)}"
        )


def _unwrapped(folder: Folder, *, into_splits: bool = True) -> Folder:
    """Enter a folder as long as its only content is another one, also one named as a split."""
    while len(filled := folder.filled) == 1 and not folder.images:
        ((name, inner),) = filled.items()
        if split_kinds([name]) and not into_splits:
            break
        folder = inner
    return folder


def _with_labels(file: object = "FILE") -> str:
    return f"--labels {file}, a CSV file with the name and the class of each image."


def _masks(paths: list[str]) -> list[str]:
    """Return the images whose names are those of others with a word such as ``_mask``."""
    stems = {path: path.rpartition(".")[0] for path in paths}
    found = {path: match[0] for path, stem in stems.items() if (match := _MASK.search(stem))}
    known = set(stems.values()) if found else set()
    return [path for path, end in found.items() if stems[path].removesuffix(end) in known]
