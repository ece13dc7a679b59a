"""Which splits and classes the image files of a folder have: see `class_folders` for the layouts.

Split folders are recognized by their names (`split_names`) and by what is beside them.  Classes are folders,
or what a labels file says (`labels_files`), or the beginnings of the names of files.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rcig_cli.data.formats.labels_files import LabelsFile, read_labels
from rcig_cli.data.formats.split_names import Kind, is_neutral, names_images, split_kinds
from rcig_cli.data.sources.image_search import Folder, Search, named, search
from rcig_cli.data.sources.source import Note, Topic
from rcig_cli.errors import ConfigError

_METADATA = ("metadata.csv", "metadata.jsonl")  # of Hugging Face's ImageFolder
_NUMBERED = re.compile(r"(?P<word>.*[^\W\d_].*?)[ ._-]+\(?\d+\)?", re.DOTALL)  # such as "cat.0" or "cat (1)"
_NO_LETTERS = re.compile(r"[\W\d_]+")
_CAMERAS = {"img", "image", "dsc", "dscn", "pic", "picture", "photo", "frame", "scan", "screenshot", "file"}

_FEW = 0.1  # images beside a folder that are ignored if it is entered, as a fraction of those in it

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
        What was assumed and passed over.
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
    """Finds the images of one folder, and collects the notes about how it was read."""

    def __init__(self, root: Path, labels: Path | None) -> None:
        self.root = root
        self.search: Search = search(root)
        self._tables: Sequence[str] = _METADATA
        self.notes: list[Note] = []
        if self.search.targets:
            self._drop_linked(self.search.found, os.path.realpath(root))
        tree = self._enter(self.search.found)
        if not tree.count:
            passed_over = " ".join(note.text for note in self.search.notes())
            raise ConfigError(
                f"{root} has no image files. {passed_over}".rstrip()
                + " Save images as PNG or JPEG; docs/datasets.md lists the names that files of arrays need."
            )
        self.tree = tree
        self.table = self._table(labels, tree)

    def find(self) -> FoundImages:
        if self.table is not None and self.table.kinds:
            parts = self._parts_of_table(self.table)
            train, test = self._choose(split_kinds(parts), parts)
        else:
            train, test = self._from_folders()
        if len(train) < 2:
            raise ConfigError(
                f"{self.root} has the training images of one class only, {next(iter(train))!r}. "
                f"{self._ways_out(self.tree)}"
            )
        if test is not None:
            test = self._matched(train, test)
        return FoundImages(train, test, (*self.notes, *self.search.notes()))

    def _note(self, about: Topic, text: str) -> None:
        self.notes.append(Note(about, text))

    def _place(self, folder: Folder) -> Path:
        return self.root / folder.path

    def _drop_linked(self, folder: Folder, root: str) -> None:
        """Leave out folders such as "raw" if links such as "train/cat" lead to all folders in them."""
        for name, inner in folder.filled.items():
            paths = {os.path.join(root, each.path) for each in inner.filled.values()}
            if not inner.images and paths <= self.search.targets and not split_kinds([name]):
                del folder.folders[name]
                self._note(
                    "format", f"The images in {self._place(inner)} are used through links to its folders."
                )
            else:
                self._drop_linked(inner, root)

    # Splits.

    def _enter(self, folder: Folder) -> Folder:
        """Enter a folder whose only content is another one, unless that is a split with class folders."""
        entered = folder
        while len(entered.filled) == 1:
            ((name, inner),) = entered.filled.items()
            if inner.filled and split_kinds([name]):
                break
            if entered.images:
                if not inner.filled or len(entered.images) > _FEW * inner.count:
                    break
                text = f"Images in {self._place(entered)} beside its folder, not used: {len(entered.images)}."
                self._note("skipped", text)
            entered = inner
        if entered is not folder:
            self._note("format", f"The images are in {self._place(entered)}.")
        return entered

    def _from_folders(self) -> tuple[Classified, Classified | None]:
        """Return both splits of a folder with split folders, of classes with split folders, or of classes."""
        tree = self.tree
        if kinds := self._split_folders(tree):
            self._note_empty(tree)
            inside = sum(tree.folders[name].count for name in kinds)
            if inside < tree.count:
                others = [name for name in tree.filled if name not in kinds]
                where = f", in {named(others)}" if others else ""
                text = f"Images in {self._place(tree)} in no split, not used: {tree.count - inside}{where}."
                self._note("skipped", text)
            training = next(name for name in kinds if kinds[name] == "train")
            train = self._classes(tree.folders[training])
            parts = {
                name: train if name == training else self._classes(tree.folders[name], train or {})
                for name in kinds
            }
            return self._choose(kinds, parts)
        if turned := _turned(tree):
            for split in turned:
                parts_of = {name: folder.folders[split] for name, folder in tree.filled.items()}
                self._check_inside(self._place(tree), parts_of)
            self._note("splits", f"Each class in {self._place(tree)} has the folders {', '.join(turned)}.")
            return self._choose(split_kinds(turned), turned)
        classes = self._classes(tree)
        if classes is None:
            raise ConfigError(f"{self._place(tree)} has images without classes. {self._ways_out(tree)}")
        return classes, None

    def _split_folders(self, tree: Folder) -> dict[str, Kind]:
        """Return the folders that are splits, if there are a training split and nothing speaks against it."""
        where, filled = self._place(tree), tree.filled
        kinds = split_kinds(filled)
        training = [name for name, kind in kinds.items() if kind == "train"]
        others = [name for name in filled if name not in kinds]
        tests = [name for name in kinds if name not in training]
        if not training:
            if kinds and not others:
                raise ConfigError(f"{where} has no training images, only {' and '.join(kinds)}.")
            return {}
        if len(training) > 1:
            raise ConfigError(
                f"{where} has several training splits, {named(training)}: keep one of them there."
            )
        train = filled[training[0]]
        if not others:
            return kinds
        if not tests and not train.filled:
            return {}  # a class whose name is a word for training, as "train" beside "bus" and "car"
        if not tests and 2 * sum(filled[name].count for name in others) > train.count:
            raise ConfigError(
                f"{where / train.path} may be a training split, or a class beside {named(others)}: "
                "rename it, or move the other folders elsewhere."
            )
        return kinds

    def _choose(
        self, kinds: Mapping[str, Kind], parts: Mapping[str, Classified | None]
    ) -> tuple[Classified, Classified | None]:
        """Choose the test split among the parts of the data."""
        where = self._place(self.tree)
        name = next((name for name, kind in kinds.items() if kind == "train"), None)
        train = parts[name] if name else None
        if train is None:
            raise ConfigError(
                f"{where} has splits without classes. {self._ways_out(self.tree)} If each split's "
                "folder has such a file, and all have one name, pass any of them."
            )
        usable = [
            [name for name in kinds if kinds[name] == kind and parts[name] is not None]
            for kind in ("test", "val")
        ]
        for names in usable:
            if len(names) > 1:
                raise ConfigError(f"{where} has several test splits, {named(names)}: keep one of them there.")
        tests = [name for names in usable for name in names]
        for name in kinds:
            if parts[name] is None:
                self._note("splits", f"The split {name} has no classes and is not used.")
            elif name in tests[1:]:
                self._note("splits", f"The split {name} is not used.")
        if not tests:
            return train, None
        self._note("splits", f"The test split is {tests[0]}.")
        return train, parts[tests[0]]

    def _matched(self, train: Classified, test: Classified) -> Classified:
        """Return the test images with the classes as the training images write them."""
        if all(name.isdecimal() for name in (*train, *test)):
            numbers = {int(name): name for name in train}
            test = {numbers.get(int(name), name): paths for name, paths in test.items()}
        composed = {unicodedata.normalize("NFC", name): name for name in train}
        test = {composed.get(unicodedata.normalize("NFC", name), name): test[name] for name in test}
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

        ``known`` are the classes of the training split.  Then a single folder of another name, such as
        "unknown", or file names that begin with other words, are no classes.
        """
        listed = self._listed(part, self.table)
        while listed is None and not part.images and len(part.filled) == 1:
            ((name, inner),) = part.filled.items()
            if not (inner.filled or is_neutral(name)):
                break
            self._note("format", f"All images of {self._place(part)} are in its folder {name}.")
            part = inner
        if listed is None and self.table is None:
            listed = self._listed(part, self._metadata(part))
        if listed is not None:
            return listed
        if part.filled:
            single = len(part.filled) == 1 and known is not None and not part.filled.keys() <= known.keys()
            return None if single else self._class_folders(part)
        found = self._by_prefix(part)
        if found is None or (known is not None and not found.keys() <= known.keys()):
            return None
        where = self._place(part)
        text = f"The names of the files in {where} begin with their classes, as {part.images[0]}."
        self._note("classes", text)
        return found

    def _class_folders(self, part: Folder) -> Classified:
        where, filled = self._place(part), part.filled
        if len(part.images) > part.count - len(part.images):
            raise ConfigError(f"Most images in {where} are in none of its folders. {self._ways_out(part)}")
        if part.images:
            self._note("skipped", f"Images in {where} in no class folder, not used: {len(part.images)}.")
        self._note_empty(part)
        if part is self.tree:
            self._check_inside(where, filled)
        general = next((name for name in filled if names_images(name)), None)
        if general is not None and len(filled) > 1:
            others = [name for name in filled if name != general]
            raise ConfigError(
                f"{where} has images in the folder {general} beside {named(others)}, which don't look like "
                f"classes. Move the others elsewhere, or pass {where / general} with --from."
            )
        for name, folder in filled.items():
            if same := [inner for inner in folder.filled if inner in filled and inner != name]:
                raise ConfigError(
                    f"{self._place(folder)} and the folder around it both have {named(same)} in them: "
                    "move or remove the copy."
                )
            kinds = split_kinds(folder.filled)
            if "train" in kinds.values() and len(set(kinds.values())) > 1:
                raise ConfigError(
                    f"{self._place(folder)} has the splits {named(list(kinds))}, but other classes don't: "
                    "give each class the same splits and nothing beside them."
                )
        nested = [
            f"{name}/{inner}"
            for name, folder in filled.items()
            for inner in folder.filled
            if folder.images or len(folder.filled) > 1
        ]
        if nested:
            text = f"The classes are the folders in {where}, not the folders in those: {named(nested)}."
            self._note("classes", text)
        return {name: list(folder.files()) for name, folder in filled.items()}

    def _note_empty(self, folder: Folder) -> None:
        empty = [name for name in folder.folders if name not in folder.filled]
        if empty:
            self._note("skipped", f"Folders in {self._place(folder)} without images: {named(empty)}.")

    def _check_inside(self, where: Path, filled: Mapping[str, Folder]) -> None:
        """Refuse folders that all have the same folders, since either may be the classes."""
        inner = {tuple(folder.filled) for folder in filled.values()}
        direct = any(folder.images for folder in filled.values())
        if not direct and len(filled) > 1 and len(inner) == 1 and len(names := inner.pop()) > 1:
            raise ConfigError(
                f"The folders in {where}, {named(list(filled))}, have the same folders in them, "
                f"{named(list(names))}. If these are the classes, call the outer folders train and test, or "
                "pass one of them; if the outer folders are, pass --labels FILE with the class of each image."
            )

    def _by_prefix(self, part: Folder) -> Classified | None:
        """Classes from file names such as ``cat.0.jpg``: two or more words, each of several files."""
        found: Classified = {}
        for name in part.images:
            stem, suffix = os.path.splitext(name)
            match = _NUMBERED.fullmatch(name if suffix[1:].isdecimal() else stem)
            if match is None or split_kinds([match["word"]]):
                return None
            if _NO_LETTERS.sub("", match["word"]).lower() in _CAMERAS:  # also "IMG_20260101_1"
                return None
            found.setdefault(match["word"], []).append(f"{part.path}/{name}" if part.path else name)
        if len(found) < 2 or min(map(len, found.values())) < 2:
            return None
        return found

    # Labels files.

    def _table(self, given: Path | None, tree: Folder) -> LabelsFile | None:
        holders = [
            name for name in split_kinds(tree.filled) if given and given.name in tree.filled[name].tables
        ]
        if (
            given
            and len(holders) > 1
            and given.parent in [self._place(tree.filled[name]) for name in holders]
        ):
            self._tables, given = (given.name,), None  # each split has such a file
        if given is None:
            return self._metadata(tree)
        table = read_labels(given, tree)
        assert table is not None
        self.notes += table.notes
        return table

    def _metadata(self, folder: Folder) -> LabelsFile | None:
        """Read the file of labels that lists the images of its own folder, if there is one."""
        name = next((name for name in self._tables if name in folder.tables), None)
        table = read_labels(self._place(folder) / name, folder, optional=True) if name else None
        if table is not None:
            self.notes += table.notes
        return table

    def _listed(self, part: Folder, table: LabelsFile | None) -> Classified | None:
        """Return the images in a folder that a labels file lists, if it does."""
        if table is None:
            return None
        found: Classified = {}
        for path in part.files():
            if path in table.classes:
                found.setdefault(table.classes[path], []).append(path)
        return found or None

    def _parts_of_table(self, table: LabelsFile) -> dict[str, Classified | None]:
        parts: dict[str, Classified | None] = {}
        for path in self.tree.files():
            if path in table.kinds:
                part = parts.setdefault(table.kinds[path], {})
                assert part is not None
                part.setdefault(table.classes[path], []).append(path)
        return parts

    def _ways_out(self, folder: Folder) -> str:
        tables = [
            f"{inner.path}/{name}".lstrip("/") for inner in _all_folders(folder) for name in inner.tables
        ]
        names = {os.path.basename(table) for table in tables}
        example = self.root / tables[0] if len(names) == 1 else "FILE"
        return (
            f"Put the images of each class into a folder of its own, or pass --labels {example}, "
            "a CSV file with the name and the class of each image."
        )


def _all_folders(folder: Folder) -> Iterator[Folder]:
    yield folder
    for inner in folder.folders.values():
        yield from _all_folders(inner)


def _turned(tree: Folder) -> dict[str, Classified | None] | None:
    """Return the splits of class folders each of which has a folder for training, and only splits."""
    found: dict[str, Classified | None] = {}
    for name, folder in tree.filled.items():
        kinds = split_kinds(folder.filled)
        if folder.images or kinds.keys() != folder.filled.keys() or "train" not in kinds.values():
            return None
        for split, inner in folder.filled.items():
            part = found.setdefault(split, {})
            assert part is not None
            part[name] = list(inner.files())
    return found if len(tree.filled) > 1 else None
