"""A source of labelled images: what every kind of data set offers, and how one is opened.

Images are uint8, square, grey or RGB, channels last; labels are whole numbers from 0 to the number of
classes less one.  A source gives them in batches, in an order that never changes, and holds one batch
in memory at a time, so a data set may be larger than memory.
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from rcig_cli.data.known import KNOWN, downloadable
from rcig_cli.errors import ConfigError, NotFound

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LABEL_BATCH = 256
_SIDES = range(4, 1025)


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images and their classes.

    Parameters
    ----------
    images
        uint8 ``[b, H, W, c]``.
    labels
        int32 ``[b]``.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: slice | npt.NDArray[np.bool_]) -> Batch:
        """Give the images that ``index`` picks along the first axis."""
        return Batch(self.images[index], self.labels[index])


class ImageSource(ABC):
    """A data set with a train and a test split.

    Parameters
    ----------
    name
        What the data set is called in the store.
    class_names
        One name per class, in the order of the labels.
    shape
        ``(H, W, c)`` of every image, with ``H == W`` and ``c`` 1 or 3.
    sizes
        Number of images in ``"train"`` and in ``"test"``.
    notes
        Sentences the user should read, such as how a missing test split was made.
    """

    def __init__(
        self,
        name: str,
        *,
        class_names: tuple[str, ...],
        shape: tuple[int, int, int],
        sizes: Mapping[str, int],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.class_names = class_names
        self.shape = shape
        self.sizes = dict(sizes)
        self.notes = notes

    @abstractmethod
    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split in its fixed order.

        Parameters
        ----------
        split
            ``"train"`` or ``"test"``.
        size
            Images per batch; only the last batch may have fewer.

        Yields
        ------
        Batch
            Images of ``shape`` and their labels.

        Raises
        ------
        Corrupt
            If the data turn out to be damaged on the way.
        """

    def labels(self, split: Split) -> npt.NDArray[np.int32]:
        """Give the labels of a whole split, int32 ``[n]``, in the order of ``batches``."""
        return np.concatenate([batch.labels for batch in self.batches(split, _LABEL_BATCH)])


def regroup(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Cut a stream of batches of any sizes into batches of ``size``, the last one perhaps smaller."""
    held: list[Batch] = []
    for batch in batches:
        held.append(batch)
        while sum(map(len, held)) >= size:
            joined = _join(held)
            yield joined.select(slice(0, size))
            held = [joined.select(slice(size, None))]
    if sum(map(len, held)):
        yield _join(held)


def _join(batches: list[Batch]) -> Batch:
    images = np.concatenate([batch.images for batch in batches])
    return Batch(images, np.concatenate([batch.labels for batch in batches]))


def open_source(name: str, path: Path | None = None, resolution: int | None = None) -> ImageSource:
    """Open a data set by its name, or the user's own data under a name of their choice.

    Parameters
    ----------
    name
        A known data set, or with ``path`` any name of lower-case letters, digits, ``_`` and ``-``.
    path
        A folder of class folders, or an ``.npz`` file.
    resolution
        Side in pixels to which every image is brought: its central square is cut out and resized.
        Without it images keep their size if they are square and alike; otherwise see
        ``rcig_cli.data.pixels.choose_side``.

    Returns
    -------
    ImageSource
        The data set; nothing but headers and labels has been read yet.

    Raises
    ------
    NotFound
        If there is no such data set or path.
    ConfigError
        If the name, the resolution or the content can't be used.
    Corrupt
        If the file is damaged.
    """
    _check_name(name, path)
    if resolution is not None and resolution not in _SIDES:
        raise ConfigError(f"Resolution {resolution} can't be used: give {_SIDES[0]} to {_SIDES[-1]} pixels.")
    if path is not None:
        return _open_path(name, path, resolution)
    return _open_known(name, resolution)


def _check_name(name: str, path: Path | None) -> None:
    if _NAME.fullmatch(name):
        return
    raise ConfigError(
        f"{name!r} can't name a data set: use up to 64 lower-case letters, digits, '_' and '-', "
        + ("beginning with a letter or digit." if path else "and pass your own data with --from PATH.")
    )


def _open_path(name: str, path: Path, resolution: int | None) -> ImageSource:
    if path.is_dir():
        from rcig_cli.data.folder import open_folder

        return open_folder(name, path, resolution)
    if not path.exists():
        raise NotFound(f"There is no file or folder {path}: check what you passed to --from.")
    if path.suffix.lower() != ".npz" or not path.is_file():
        raise ConfigError(f"{path} is neither a folder of class folders nor an .npz file: --from takes one.")
    from rcig_cli.data.npz import open_npz

    return open_npz(name, path, resolution)


def _open_known(name: str, resolution: int | None) -> ImageSource:
    if name == "digits":
        from rcig_cli.data.digits import open_digits

        return open_digits(resolution)
    if name not in KNOWN:
        raise NotFound(_unknown(name))
    if KNOWN[name].tfds is None:
        raise ConfigError(f"{name} can't be downloaded from here: pass your own copy with --from FOLDER.")
    from rcig_cli.data.named import open_named

    return open_named(KNOWN[name], resolution)


def _unknown(name: str) -> str:
    known = ["digits", *downloadable()]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    listed = ", ".join(known)
    return f"There is no data set {name!r}.{hint} Known are {listed}; your own comes with --from PATH."
