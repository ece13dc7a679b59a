"""Which files of a folder belong to which class and split.

Hidden files, files that are no images by their ending, and linked folders are passed over; linked files
are taken only if they lead to a file inside the folder.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.picture import picture_suffixes
from rcig_cli.data.sources.class_names import misnamed
from rcig_cli.data.sources.path_list import PathList
from rcig_cli.errors import ConfigError, RcigError

TEST_NAMES = ("test", "val", "validation")
"""What the folder beside ``train`` may be called; the first that is there is taken."""

DEEPEST = 100
"""Folders within folders, below which no image is looked for."""


@dataclass(frozen=True, eq=False)
class Files:
    """Files and their classes.

    Parameters
    ----------
    paths
        ``n`` files.
    labels
        int32 ``[n]``.
    """

    paths: PathList
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, index: npt.NDArray[np.int64]) -> Files:
        """Give the files at the positions ``index``."""
        return Files(self.paths.select(index.tolist()), self.labels[index])


@dataclass(frozen=True)
class Layout:
    """What was found in a folder.

    Parameters
    ----------
    class_names
        Names of the class folders, sorted.
    train, test
        The files of each split; ``test`` is None where the folder has no split.
    notes
        Sentences about what was passed over.
    """

    class_names: tuple[str, ...]
    train: Files
    test: Files | None
    notes: tuple[str, ...]


def find_files(root: Path) -> Layout:
    """Find the image files of a folder.

    Parameters
    ----------
    root
        A folder of class folders, or of split folders that hold class folders.

    Returns
    -------
    Layout
        Files by class and split, in sorted order.

    Raises
    ------
    ConfigError
        If there are fewer than two classes, an empty one, or a test class without training images.
    RcigError
        If the system doesn't let the folder be read.
    """
    try:
        return _find_files(root)
    except OSError as error:
        raise RcigError(f"{error.filename or root} can't be read: {error.strerror or error}.") from error


def _find_files(root: Path) -> Layout:
    search = Search(root)
    train_root, test_root = _split_roots(root)
    class_names = tuple(folder.name for folder in folders(train_root))
    if len(class_names) < 2:
        raise ConfigError(
            f"{train_root} has {len(class_names)} class folders and needs at least two: "
            "put the images of each class into a folder of its own."
        )
    wrong = misnamed(class_names)
    if wrong:
        raise ConfigError(f"{train_root} holds class folders with {wrong}: rename them.")
    train = search.files(train_root, class_names)
    check_filled(train_root, class_names, train)
    test = None if test_root is None else _test_files(search, test_root, class_names)
    return Layout(class_names, train, test, search.notes())


def _split_roots(root: Path) -> tuple[Path, Path | None]:
    train = root / "train"
    # A folder "train" that holds images is a class of trains, not a split.
    if not train.is_dir() or not folders(train):
        return root, None
    tests = [root / name for name in TEST_NAMES if (root / name).is_dir()]
    return train, tests[0] if tests else None


def folders(root: Path) -> list[Path]:
    """Give the folders in a folder, sorted by name, without hidden and linked ones."""
    found = [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]
    return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)


def check_filled(root: Path, class_names: tuple[str, ...], files: Files) -> None:
    """Refuse class folders in ``root`` of which one holds no images.

    Raises
    ------
    ConfigError
        With the folder.
    """
    empty = set(range(len(class_names))) - set(files.labels.tolist())
    if empty:
        raise ConfigError(f"{root / class_names[min(empty)]} holds no images: fill the folder or remove it.")


def _test_files(search: Search, root: Path, class_names: tuple[str, ...]) -> Files:
    unknown = [folder for folder in folders(root) if folder.name not in class_names]
    if unknown:
        raise ConfigError(f"{unknown[0]} is a class without training images: add some, or remove the folder.")
    files = search.files(root, class_names)
    if not len(files):
        raise ConfigError(f"{root} holds no images in class folders: fill it, or remove it.")
    return files


class Search:
    """A walk through class folders that never leaves ``root`` and counts the links it passed over.

    Parameters
    ----------
    root
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._links = 0

    def files(self, folder: Path, class_names: tuple[str, ...]) -> Files:
        """Find the image files of classes, each in the folder of its name in ``folder`` or deeper."""
        labels = array("i")

        def found() -> Iterator[Path]:
            for label, name in enumerate(class_names):
                for path in self._class(folder / name):
                    labels.append(label)
                    yield path

        return Files(PathList(folder, found()), np.array(labels, dtype=np.int32))

    def notes(self) -> tuple[str, ...]:
        """Say how many links were passed over, if any were."""
        if not self._links:
            return ()
        return (f"Links passed over because they lead to folders or out of {self._root}: {self._links}.",)

    def _class(self, folder: Path) -> Iterator[Path]:
        if not folder.is_dir():
            return
        if folder.resolve().is_relative_to(self._root):
            yield from self._walk(folder)
        else:
            self._links += 1

    def _walk(self, folder: Path, depth: int = 0) -> Iterator[Path]:
        if depth > DEEPEST:
            raise ConfigError(f"{self._root} holds folders more than {DEEPEST} deep: is it the right one?")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if entry.name.startswith(".") or not self._inside(entry):
                continue
            if entry.is_dir():
                yield from self._walk(entry, depth + 1)
            elif entry.suffix.lower() in picture_suffixes() and entry.is_file():
                yield entry

    def takes(self, path: Path) -> bool:
        """Say whether a path, whatever links it goes through, leads to a file inside ``root``."""
        return path.is_file() and path.resolve().is_relative_to(self._root)

    def _inside(self, entry: Path) -> bool:
        if not entry.is_symlink():
            return True
        inside = self.takes(entry)
        self._links += not inside
        return inside
