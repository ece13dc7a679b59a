"""A source of image files, and the search for them in a folder.

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
from rcig_cli.data.images.pixels import choose_side, size_note
from rcig_cli.data.sources.class_names import check_classes
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Note, Split

_DECODERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, eq=False)
class Files:
    """Image files and their classes: paths within the folder ``root``, and labels, int32 ``[n]``."""

    root: Path
    names: Sequence[str]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paths(self) -> Iterator[Path]:
        """The full paths, one at a time."""
        return (self.root / name for name in self.names)

    def select(self, chosen: npt.NDArray[np.bool_]) -> Files:
        """Return the files that are ``chosen``, bool ``[n]``."""
        names = [name for name, use in zip(self.names, chosen.tolist(), strict=True) if use]
        return Files(self.root, names, self.labels[chosen])


class FileSource(ImageSource):
    """Image files, decoded by several threads; see `ImageSource`.

    Images are grey if every file is, by its header, and RGB otherwise.

    Parameters
    ----------
    name, class_names, resolution, notes
        As in `ImageSource` and `ReadOptions`.
    where
        The folder, for the errors of `check_classes`.
    splits
        The files of both splits.
    usual_side
        Side for images of mixed sizes where no ``resolution`` is given; None: as `choose_side` says.
    """

    def __init__(
        self,
        name: str,
        where: object,
        class_names: tuple[str, ...],
        splits: dict[Split, Files],
        *,
        resolution: int | None = None,
        usual_side: int | None = None,
        notes: tuple[Note, ...] = (),
    ) -> None:
        labels = {split: splits[split].labels for split in SPLITS}
        check_classes(where, class_names, labels)
        headers = {read_header(path) for split in SPLITS for path in splits[split].paths}
        sizes = {header.size for header in headers}
        side = choose_side(sizes, usual_side if resolution is None and len(sizes) > 1 else resolution)
        resized = size_note(sizes, side, resolution)
        super().__init__(
            name,
            class_names=class_names,
            shape=(side, side, 1 if all(header.grey for header in headers) else 3),
            sizes={split: len(splits[split]) for split in SPLITS},
            labels=labels,
            notes=notes + ((Note("size", resized),) if resized else ()),
        )
        self._files = splits
        # All threads together hold at most as many pixels as the largest image that is allowed.
        self._threads = max(1, min(_DECODERS, MOST_PIXELS // max(short * long for short, long in sizes)))

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split, in the order of its files; see `ImageSource.batches`."""
        return self.batches_from(split, size, 0)

    def batches_from(self, split: Split, size: int, start: int) -> Iterator[Batch]:
        """Yield the split from image ``start``; see `ImageSource.batches_from`."""
        files = self._files[split]
        with ThreadPoolExecutor(self._threads) as decoders:
            for first in range(start, len(files), size):
                names, labels = files.names[first : first + size], files.labels[first : first + size]
                images = decoders.map(self._read, [files.root / name for name in names])
                yield Batch(np.stack(list(images)), labels)

    def _read(self, path: Path) -> npt.NDArray[np.uint8]:
        side, _, channels = self.shape
        return read_picture(path, grey=channels == 1, side=side)


def folders(root: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden and linked ones."""
    found = [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]
    return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)


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

    def notes(self) -> tuple[Note, ...]:
        """Return the sentence that says how many links were skipped, if any were."""
        if not self._links:
            return ()
        text = f"Links skipped because they lead to folders or out of {self._root}: {self._links}."
        return (Note("skipped", text),)

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
