"""Image files in class folders, with or without a split.

Either ``train/<class>/...`` beside one of ``test``, ``val`` and ``validation`` (the first that exists), or
``<class>/...`` alone, of which a fixed, class-stratified fifth is held out for testing.  Classes are sorted
by name, files by path.  Images are grey if every file is, by its header, and RGB otherwise.

Hidden files, files without an image's suffix, and linked folders are skipped; linked files are used only if
they lead to a file inside the folder.  Of each file its path within the folder is kept, some 100 bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.picture import MOST_PIXELS, picture_suffixes, read_header, read_picture
from rcig_cli.data.images.pixels import choose_side, size_notes
from rcig_cli.data.sources.class_names import misnamed, readable
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Split
from rcig_cli.data.sources.subset import held_out
from rcig_cli.errors import ConfigError

_TEST_NAMES = ("test", "val", "validation")  # of the folder beside "train"; the first that exists is used
_HELD_OUT = 0.2
_SPLIT_SEED = 2
_DECODERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class Files:
    """Image files and their classes.

    Parameters
    ----------
    root
        The folder that they are in.
    names
        Their paths within it.
    labels
        int32 ``[n]``.
    """

    root: Path
    names: Sequence[str]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paths(self) -> Iterator[Path]:
        """The full paths, one at a time."""
        return (self.root / name for name in self.names)

    def select(self, index: npt.NDArray[np.int64]) -> Files:
        """Return the files at the positions ``index``."""
        return Files(self.root, [self.names[position] for position in index.tolist()], self.labels[index])


class FolderSource(ImageSource):
    """Image files, decoded by several threads; see `ImageSource`.

    Without a ``resolution``, images of mixed sizes are resized to the data set's ``usual_side``, if it has
    one, and otherwise as `choose_side` says.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        files: dict[Split, Files],
        *,
        resolution: int | None = None,
        usual_side: int | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        headers = {read_header(path) for split in SPLITS for path in files[split].paths}
        sizes = {header.size for header in headers}
        if usual_side is not None and resolution is None and len(sizes) > 1:
            side = usual_side
        else:
            side = choose_side(sizes, resolution)
        super().__init__(
            name,
            class_names=class_names,
            shape=(side, side, 1 if all(header.grey for header in headers) else 3),
            sizes={split: len(files[split]) for split in SPLITS},
            notes=notes + size_notes(sizes, side, resolution),
        )
        self._files = files
        # All threads together hold at most as many pixels as the largest image that is allowed.
        self._threads = max(1, min(_DECODERS, MOST_PIXELS // max(short * long for short, long in sizes)))

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split, classes in turn, files sorted; see `ImageSource.batches`."""
        return self.batches_from(split, size, 0)

    def batches_from(self, split: Split, size: int, start: int) -> Iterator[Batch]:
        """Yield the split from image ``start``; see `ImageSource.batches_from`."""
        files = self._files[split]
        with ThreadPoolExecutor(self._threads) as decoders:
            for first in range(start, len(files), size):
                some = files.select(np.arange(first, min(first + size, len(files))))
                yield Batch(np.stack(list(decoders.map(self._read, some.paths))), some.labels)

    def labels(self, split: Split) -> npt.NDArray[np.int32]:
        """Return the labels of a whole split, int32 ``[n]``, in the order of `batches`."""
        return self._files[split].labels

    def _read(self, path: Path) -> npt.NDArray[np.uint8]:
        side, _, channels = self.shape
        return read_picture(path, grey=channels == 1, side=side)


def open_folder(
    name: str, path: Path, resolution: int | None = None, *, usual_side: int | None = None
) -> ImageSource:
    """Open a folder of class folders; parameters and errors as in `opening.open_source`.

    Parameters
    ----------
    usual_side
        Side for images of mixed sizes; by default that of the known data set ``name``, if there is one.
    """
    found = find_files(path)
    train, test, notes = found.train, found.test, found.notes
    if usual_side is None and name in KNOWN:
        usual_side = KNOWN[name].shape[0]
    if test is None:
        train, test = _hold_out(path, train, len(found.class_names))
        notes += (
            f"{path} has no test split, so a fixed fifth of each class, {len(test)} images in all, "
            "is held out for testing.",
        )
    return FolderSource(
        name,
        readable(found.class_names),
        {"train": train, "test": test},
        resolution=resolution,
        usual_side=usual_side,
        notes=notes,
    )


def _hold_out(path: Path, files: Files, classes: int) -> tuple[Files, Files]:
    count = max(1, round(_HELD_OUT * len(files)))
    if count > len(files) - classes:
        raise ConfigError(f"{path} has too few images to hold any out for testing: add some to each class.")
    test = held_out(files.labels, count, _SPLIT_SEED)
    return files.select(np.flatnonzero(~test)), files.select(np.flatnonzero(test))


# Finding the files


@dataclass(frozen=True)
class ClassFolders:
    """What was found in a folder of class folders.

    Parameters
    ----------
    class_names
        Names of the class folders, sorted.
    train, test
        The files of each split; ``test`` is None if the folder has no split.
    notes
        Sentences about what was skipped.
    """

    class_names: tuple[str, ...]
    train: Files
    test: Files | None
    notes: tuple[str, ...]


def find_files(root: Path) -> ClassFolders:
    """Find the image files in a folder of class folders, or of split folders that hold class folders.

    Raises
    ------
    ConfigError
        If there are fewer than two classes, an empty one, or a test class without training images.
    OSError
        If the system refuses to read the folder.
    """
    search = ImageSearch(root)
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
    test = None
    if test_root is not None:
        unknown = [folder for folder in folders(test_root) if folder.name not in class_names]
        if unknown:
            raise ConfigError(
                f"{unknown[0]} is a class without training images: add some, or remove the folder."
            )
        test = search.files(test_root, class_names)
        if not len(test):
            raise ConfigError(f"{test_root} holds no images in class folders: fill it, or remove it.")
    return ClassFolders(class_names, train, test, search.notes())


def _split_roots(root: Path) -> tuple[Path, Path | None]:
    train = root / "train"
    # A folder "train" that holds images is a class, not a split.
    if not train.is_dir() or not folders(train):
        return root, None
    tests = [root / name for name in _TEST_NAMES if (root / name).is_dir()]
    return train, tests[0] if tests else None


def folders(root: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden and linked ones."""
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


class ImageSearch:
    """A search in class folders that never leaves ``root`` and counts the links that it skips."""

    def __init__(self, root: Path) -> None:
        self._root, self._links = root.resolve(), 0

    def files(self, folder: Path, class_names: tuple[str, ...]) -> Files:
        """Find the image files of classes, each in the folder of its name in ``folder`` or deeper."""
        names: list[str] = []
        counts = []
        for class_name in class_names:
            found = self._images(os.path.join(folder, class_name))
            names += [path[len(os.path.join(folder, "")) :] for path in found]
            counts.append(len(found))
        return Files(folder, names, np.repeat(np.arange(len(counts), dtype=np.int32), counts))

    def contains(self, path: Path | str) -> bool:
        """Whether a path leads to a file inside ``root`` once its links are followed."""
        path = Path(path)
        return path.is_file() and path.resolve().is_relative_to(self._root)

    def notes(self) -> tuple[str, ...]:
        """Return the sentence that says how many links were skipped, if any were."""
        if not self._links:
            return ()
        return (f"Links skipped because they lead to folders or out of {self._root}: {self._links}.",)

    def _images(self, folder: str) -> list[str]:
        if not os.path.isdir(folder):
            return []
        if not Path(folder).resolve().is_relative_to(self._root):
            self._links += 1
            return []
        found = []
        for parent, inner, names in os.walk(folder, onerror=_reraise):
            inner[:] = [name for name in inner if self._visible(parent, name)]
            paths = [os.path.join(parent, name) for name in names if self._visible(parent, name)]
            found += [path for path in paths if _is_image(path)]
        return sorted(found, key=lambda path: path.split(os.sep))

    def _visible(self, parent: str, name: str) -> bool:
        """Whether an entry is neither hidden nor a link to a folder or out of ``root``."""
        path = os.path.join(parent, name)
        if name.startswith("."):
            return False
        if not os.path.islink(path) or self.contains(path):
            return True
        self._links += 1
        return False


def _is_image(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in picture_suffixes() and os.path.isfile(path)


def _reraise(error: OSError) -> NoReturn:
    raise error
