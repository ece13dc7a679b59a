"""Image files in class folders, split or not.

Either ``train/<class>/...`` beside one of ``test``, ``val`` and ``validation`` (the first that is
there), or ``<class>/...`` alone, of which a fixed, class-stratified fifth is held out for testing.
Classes are sorted by name, files by their path; WordNet codes become words where they are ImageNette's or
ImageWoof's.  Images are grey if every file is, by its header, and
RGB otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.picture import read_header, read_picture
from rcig_cli.data.images.pixels import choose_side, size_notes
from rcig_cli.data.sources.class_names import readable
from rcig_cli.data.sources.folder_layout import Files, find_files
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Split
from rcig_cli.data.sources.stratify import held_out
from rcig_cli.errors import ConfigError

_HELD_OUT = 0.2
_SPLIT_SEED = 2
_DECODERS = min(8, os.cpu_count() or 1)


class FolderSource(ImageSource):
    """Image files by split.

    Parameters
    ----------
    name
        What the data set is called in the store.
    class_names
        One name per class, as the folders are called.
    files
        The files of ``"train"`` and ``"test"``.
    resolution
        Side in pixels that the user asked for.
    usual_side
        Side for images of mixed sizes, where the data set has a usual one.
    notes
        Sentences about how the files were found and split.
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
        grey, sizes = _survey(files)
        if usual_side is not None and resolution is None and len(sizes) > 1:
            side = usual_side
        else:
            side = choose_side(sizes, resolution)
        super().__init__(
            name,
            class_names=class_names,
            shape=(side, side, 1 if grey else 3),
            sizes={split: len(files[split]) for split in SPLITS},
            notes=notes + size_notes(sizes, side, resolution),
        )
        self._files = files

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split, classes in turn, files sorted; see ``ImageSource.batches``."""
        return self.batches_from(split, size, 0)

    def batches_from(self, split: Split, size: int, start: int) -> Iterator[Batch]:
        """Yield the split from an image on; see ``ImageSource.batches_from``."""
        files = self._files[split]
        # Pillow lets other threads run while it decodes; pictures come back in order.
        with ThreadPoolExecutor(_DECODERS) as decoders:
            for first in range(start, len(files), size):
                some = files.select(np.arange(first, min(first + size, len(files))))
                yield Batch(np.concatenate(list(decoders.map(self._read, some.paths))), some.labels)

    def labels(self, split: Split) -> npt.NDArray[np.int32]:
        """Give the labels of a whole split, int32 ``[n]``, in the order of ``batches``."""
        return self._files[split].labels

    def _read(self, path: Path) -> npt.NDArray[np.uint8]:
        side, _, channels = self.shape
        return read_picture(path, grey=channels == 1, side=side)[None]


def open_folder(name: str, path: Path, resolution: int | None = None) -> ImageSource:
    """Open a folder of class folders.

    Parameters
    ----------
    name
        What the data set is called in the store.
    path
        The folder.
    resolution
        Side in pixels that images are brought to.  Without it, a known ``name`` has its own if sizes
        are mixed, and otherwise ``rcig_cli.data.images.pixels.choose_side`` decides.

    Returns
    -------
    ImageSource
        Its two splits; only headers have been read.

    Raises
    ------
    ConfigError
        If the folder isn't laid out as above, or a class is empty.
    Corrupt
        If a header is damaged.
    """
    found = find_files(path)
    notes = found.notes
    files: dict[Split, Files]
    if found.test is None:
        files = _hold_out(path, found.train, len(found.class_names))
        notes = (*notes, _held_out_note(path, len(files["test"])))
    else:
        files = {"train": found.train, "test": found.test}
    return FolderSource(
        name,
        readable(found.class_names),
        files,
        resolution=resolution,
        usual_side=KNOWN[name].shape[0] if name in KNOWN else None,
        notes=notes,
    )


def _hold_out(path: Path, files: Files, classes: int) -> dict[Split, Files]:
    count = max(1, round(_HELD_OUT * len(files)))
    if count > len(files) - classes:
        raise ConfigError(f"{path} has too few images to hold any out for testing: add some to each class.")
    test = held_out(files.labels, count, _SPLIT_SEED)
    return {"train": files.select(np.flatnonzero(~test)), "test": files.select(np.flatnonzero(test))}


def _held_out_note(path: Path, count: int) -> str:
    return (
        f"{path} has no test split, so a fixed fifth of each class, {count} images in all, "
        "is held out for testing."
    )


def _survey(files: dict[Split, Files]) -> tuple[bool, set[tuple[int, int]]]:
    headers = {read_header(path) for split in SPLITS for path in files[split].paths}
    return all(header.grey for header in headers), {header.size for header in headers}
