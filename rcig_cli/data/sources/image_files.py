"""A source of image files."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.data.images.picture import MOST_PIXELS, Header, read_header, read_picture
from rcig_cli.data.images.pixels import choose_side, size_note
from rcig_cli.data.sources.class_names import check_classes
from rcig_cli.data.sources.image_search import named
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Note, Split, Topic, regroup
from rcig_cli.errors import ConfigError, Corrupt

_DECODERS = min(8, os.cpu_count() or 1)
_TOP_BIT, _WHITE = 2**7, 255  # of 8 bits
_AT_ONCE = 1024  # files that wait for a thread

Result = TypeVar("Result")


Picture = tuple[Path, bytes | None]
"""A file, or what messages call an image that is not a file of its own, and its content."""


class Pictures(Protocol):
    """The images of a split and their classes."""

    @property
    def labels(self) -> npt.NDArray[np.int32]:
        """``[n]``."""

    def __len__(self) -> int: ...

    def select(self, chosen: npt.NDArray[np.bool_]) -> Pictures:
        """Return the images that are ``chosen``, bool ``[n]``."""

    def pieces(self, most: int, start: int = 0) -> Iterator[Sequence[Picture]]:
        """Yield the images from number ``start`` on, up to ``most`` at a time."""


@dataclass(frozen=True, eq=False)
class Files:
    """Image files and their classes: paths within the folder ``root``, and labels, int32 ``[n]``."""

    root: Path
    names: Sequence[str]
    labels: npt.NDArray[np.int32]

    @classmethod
    def by_class(cls, root: Path, images: Mapping[str, Sequence[str]], order: Sequence[str]) -> Files:
        """Return the ``images`` of each class, in the order of the classes, which are numbered in it."""
        names = [path for name in order for path in images.get(name, ())]
        counts = [len(images.get(name, ())) for name in order]
        return cls(root, names, np.repeat(np.arange(len(order), dtype=np.int32), counts))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paths(self) -> Iterator[Path]:
        """The full paths, one at a time."""
        return (self.root / name for name in self.names)

    def pieces(self, most: int, start: int = 0) -> Iterator[Sequence[Picture]]:
        """Yield the files from number ``start`` on, up to ``most`` at a time."""
        for first in range(start, len(self), most):
            yield [(self.root / name, None) for name in self.names[first : first + most]]

    def select(self, chosen: npt.NDArray[np.bool_]) -> Files:
        """Return the files that are ``chosen``, bool ``[n]``."""
        names = [name for name, use in zip(self.names, chosen.tolist(), strict=True) if use]
        return Files(self.root, names, self.labels[chosen])


@dataclass(eq=False)
class _Headers:
    """What the headers of files say.

    Attributes
    ----------
    kinds
        How many files have each header, and the first of them.
    damaged
        The files whose header can't be read.
    """

    kinds: dict[Header, tuple[int, Path]] = field(default_factory=dict)
    damaged: list[Path] = field(default_factory=list)

    @property
    def threads(self) -> int:
        """How many files may be decoded at once: together they have the pixels of the largest allowed."""
        largest = max((header.size[0] * header.size[1] for header in self.kinds), default=1)
        return max(1, min(_DECODERS, MOST_PIXELS // largest))

    @property
    def total(self) -> int:
        """Number of files whose header can be read."""
        return self.count(lambda _: True)

    def count(self, chosen: Callable[[Header], bool]) -> int:
        """Number of files whose header is ``chosen``."""
        return sum(count for header, (count, _) in self.kinds.items() if chosen(header))


class FileSource(ImageSource):
    """Image files, decoded by several threads; see `ImageSource`.

    Images are grey if every file is, by its header, and RGB otherwise.

    Parameters
    ----------
    name, class_names, notes
        As in `ImageSource`.
    where
        The folder, for errors and notes.
    splits
        The files of both splits.
    options
        What the user said: resolution, range, and whether to leave damaged images out.
    usual_side
        Side for images of mixed sizes where no resolution is given; None: as `choose_side` says.
    """

    def __init__(
        self,
        name: str,
        where: Path,
        class_names: tuple[str, ...],
        splits: Mapping[Split, Pictures],
        options: ReadOptions,
        *,
        usual_side: int | None = None,
        notes: tuple[Note, ...] = (),
    ) -> None:
        headers = _read_headers(splits)
        if headers.damaged or options.skip_damaged:
            damaged = _find_damaged(splits, headers.threads)
            if damaged and not options.skip_damaged:
                raise _refusal(where, damaged)
            if damaged:
                splits = {split: _without(files, damaged) for split, files in splits.items()}
                headers = _read_headers(splits)
                text = f"Damaged images in {where}, left out: {_names(where, damaged)}."
                notes += (Note("skipped", text),)
        labels = {split: splits[split].labels for split in SPLITS}
        check_classes(where, class_names, labels)
        self._where, self._files, self._threads = where, splits, headers.threads
        self._limits = options.range
        self._check_depth(headers)
        if self._limits is not None:
            text = "{:g} is black and {:g} is white, as set by --range.".format(*self._limits)
            notes += (Note("range", text),)
        sizes: Counter[tuple[int, int]] = Counter()
        for header, (count, _) in headers.kinds.items():
            sizes[header.size] += count
        resolution = options.resolution
        side = choose_side(sizes, usual_side if resolution is None and len(sizes) > 1 else resolution)
        resized = size_note(sizes.keys(), side, resolution)
        super().__init__(
            name,
            class_names=class_names,
            shape=(side, side, 1 if all(header.grey for header in headers.kinds) else 3),
            sizes={split: len(splits[split]) for split in SPLITS},
            labels=labels,
            notes=notes + ((Note("size", resized),) if resized else ()) + _notes_on_kinds(headers),
        )

    def batches(self, split: Split, size: int) -> Iterator[Batch]:
        """Yield the split, in the order of its files; see `ImageSource.batches`."""
        return self.batches_from(split, size, 0)

    def batches_from(self, split: Split, size: int, start: int) -> Iterator[Batch]:
        """Yield the split from image ``start``; see `ImageSource.batches_from`."""
        return regroup(self._decoded(split, size, start), size)

    def _decoded(self, split: Split, most: int, start: int) -> Iterator[Batch]:
        """Yield the split from image ``start``, up to ``most`` images at a time."""
        pictures = self._files[split]
        with ThreadPoolExecutor(self._threads) as decoders:
            for piece in pictures.pieces(most, start):
                images = decoders.map(self._read, piece)
                try:
                    decoded = np.stack(list(images))
                except Corrupt as error:
                    raise self._all_damaged(error) from error
                yield Batch(decoded, pictures.labels[start : start + len(piece)])
                start += len(piece)

    def _read(self, picture: Picture) -> npt.NDArray[np.uint8]:
        side, _, channels = self.shape
        path, content = picture
        return read_picture(path, channels == 1, content, side=side, limits=self._limits)

    def _all_damaged(self, first: Corrupt) -> Corrupt:
        """Decode all images, and return the error that names the damaged ones instead of the first."""
        damaged = _find_damaged(self._files, self._threads)
        return _refusal(self._where, damaged) if damaged else first

    def _check_depth(self, headers: _Headers) -> None:
        """Refuse images of more than 8 bits whose black and white aren't known or differ from others'."""
        where = self._where
        deep = [first for header, (_, first) in headers.kinds.items() if header.deep]
        example = _relative(where, deep[0]) if deep else None
        if headers.count(lambda header: header.cut):
            self._check_colours(f"grey images of more than 8 bits, such as {example}" if deep else None)
        elif deep and headers.count(lambda header: not header.deep):
            if self._limits is None or self._limits[1] > _WHITE:
                raise ConfigError(
                    f"{where} has images of 8 bits, and others of more, such as {example}: save all "
                    "with 8 bits."
                )
        elif deep and self._limits is None:
            raise ConfigError(
                f"{where} has grey images of more than 8 bits, such as {example}. Give the values of black "
                "and white with --range LOW,HIGH, for example --range 0,65535."
            )

    def _check_colours(self, others: str | None) -> None:
        """Refuse colours of 16 bits a channel that don't fill them or aren't the only deep images."""
        where, colours = self._where, "colours of 16 bits a channel"
        if others:
            raise ConfigError(f"{where} has {colours}, and {others}: save all with 8 bits.")
        if self._limits is not None:
            raise ConfigError(
                f"--range can't be used with {where}, which has {colours}: leave it out, or save them "
                "with 8 bits."
            )
        try:
            highest = max(_in_threads(_brightest, self._files, self._threads))
        except Corrupt as error:
            raise self._all_damaged(error) from error
        if highest < _TOP_BIT:
            raise ConfigError(
                f"{where} has {colours} with values up to {highest * 256 + 255}, which don't fill 16 bits: "
                "save them with 8 bits."
            )


def _brightest(path: Path, content: bytes | None) -> int:
    """The largest of the upper 8 bits in an image of 16 bits a channel; 0 of another."""
    return int(read_picture(path, False, content).max()) if read_header(path, content).cut else 0


def _read_headers(splits: Mapping[Split, Pictures]) -> _Headers:
    found = _Headers()
    for pictures in splits.values():
        for path, content in itertools.chain.from_iterable(pictures.pieces(_AT_ONCE)):
            try:
                header = read_header(path, content)
            except Corrupt:
                found.damaged.append(path)
                continue
            count, first = found.kinds.get(header, (0, path))
            found.kinds[header] = count + 1, first
    return found


def _in_threads(
    function: Callable[[Path, bytes | None], Result], splits: Mapping[Split, Pictures], threads: int
) -> Iterator[Result]:
    """Call a function for each image, in several threads; results keep the order."""
    with ThreadPoolExecutor(threads) as pool:
        for pictures in splits.values():
            for piece in pictures.pieces(_AT_ONCE):
                yield from pool.map(lambda picture: function(*picture), piece)


def _find_damaged(splits: Mapping[Split, Pictures], threads: int) -> set[Path]:
    """Decode all images, and return those that can't be decoded."""
    return {path for path in _in_threads(_damaged, splits, threads) if path is not None}


def _damaged(path: Path, content: bytes | None) -> Path | None:
    try:
        read_picture(path, False, content)
    except Corrupt:
        return path
    except ConfigError:  # what else is wrong is reported where the image is used
        pass
    return None


def _without(pictures: Pictures, damaged: set[Path]) -> Pictures:
    every = itertools.chain.from_iterable(pictures.pieces(_AT_ONCE))
    return pictures.select(np.array([path not in damaged for path, _ in every], dtype=np.bool_))


def _refusal(where: Path, damaged: set[Path]) -> Corrupt:
    return Corrupt(
        f"{where} has damaged or unsupported images: {_names(where, damaged)}. "
        "Replace or remove them, or leave them out with --skip-damaged."
    )


def _names(where: Path, paths: set[Path]) -> str:
    return named(sorted(_relative(where, path) for path in paths))


def _relative(where: Path, path: Path) -> str:
    return os.path.relpath(path, where.parent if where.is_file() else where)


def _notes_on_kinds(headers: _Headers) -> tuple[Note, ...]:
    """Say which images are changed or used in part."""
    grey = headers.count(lambda header: header.grey)
    counts: tuple[tuple[Topic, str, int], ...] = (
        (
            "range",
            "Images of 16 bits a channel, of which the upper 8 are used",
            headers.count(lambda h: h.cut),
        ),
        ("layout", "Images with transparency, composited over white", headers.count(lambda h: h.alpha)),
        (
            "skipped",
            "Images of which only the first frame or page is used",
            headers.count(lambda h: h.frames),
        ),
        ("layout", "Grey images among coloured ones, converted to RGB", grey if grey < headers.total else 0),
    )
    return tuple(Note(about, f"{text}: {count}.") for about, text, count in counts if count)
