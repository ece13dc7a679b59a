"""A preparation under way: its two passes over the images, how far it is, and how it goes on after a kill.

    measuring   sums over the training images, from which the whitening follows
    writing     every image through it, shard by shard

Reading and decoding, computing, and compressing and writing overlap.  Now and then what has been done is
saved, so that another process goes on from there: the sums while measuring, which are exact whatever order
they are added in; and while writing what shards are whole.  So a preparation that was killed gives the
bytes of one that wasn't.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Split
from rcig_cli.data.whitening.moments import Moments, block_of, block_size, tile_side
from rcig_cli.data.whitening.whitening import Whitening, check_regularisation, fit_to
from rcig_cli.errors import Corrupt, Interrupted, NotFound, RcigError
from rcig_cli.reporting.formatting import size
from rcig_cli.runs.prepare.overlap import aside, overlapped
from rcig_cli.runs.report import Report
from rcig_cli.runs.signals import StopRequest
from rcig_cli.store.array_writer import ArrayWriter
from rcig_cli.store.arrays import read_array
from rcig_cli.store.digests import digests
from rcig_cli.store.partial import Partial
from rcig_cli.store.space import bytes_of, free_bytes

ARRAYS = "arrays.zarr"
SAVE_EVERY = 30.0  # seconds, at least
_SAVING_SHARE = 0.05  # of the time, at most

_BATCH = 512  # images at most
_BATCH_BYTES = 2**25  # of them as float32: large images come fewer at a time
_TAKES_LONG = 3000  # dimensions whose whitening takes long enough to be announced

_MEASURING, _WRITING = "measuring", "writing"
Labels = npt.NDArray[np.int32]
Result = TypeVar("Result")


class _StopAsked(Exception):
    """A signal has come."""


@dataclass(frozen=True)
class Around:
    """What a preparation works with.

    Attributes
    ----------
    report
        Where messages go.
    stop
        Whether a signal has come.
    workers
        Threads that compute beside those that read and write; with 0 all is done in turn.
    """

    report: Report
    stop: StopRequest
    workers: int


class Preparing:
    """A preparation under way.

    Parameters
    ----------
    partial
        Where it is made, and how far earlier processes came.
    source
        The images.
    key
        What follows from the data and the settings: work that was done for another key is not gone on with.
    whiten
        Whether to whiten beyond means and deviations.
    regularisation
        Of the whitening.
    around
        What it works with.
    """

    def __init__(
        self,
        partial: Partial,
        source: ImageSource,
        key: str,
        around: Around,
        *,
        whiten: bool,
        regularisation: float,
    ) -> None:
        self.partial, self.source, self.key, self.around = partial, source, key, around
        self.whiten, self.regularisation = whiten, regularisation
        self.stage, self.done, self.total = _MEASURING, 0, source.sizes["train"]
        self.saved_at, self.saving_took = time.monotonic(), 0.0

    def run(self) -> dict[str, str]:
        """Write the arrays, from wherever an earlier process came; return the digests of their files.

        Raises
        ------
        Interrupted
            If a signal has come, once what has been done is saved.
        RcigError
            If there isn't room enough, or images can't be read, or arrays written.
        """
        check_regularisation(self.regularisation)
        under_way = self._taken_up()
        self._check_space()
        if not isinstance(under_way, _Writing):
            under_way = self._begun(self._measured(under_way))
        self._write(under_way)
        save = partial(self._save_writing, under_way)
        return self._interruptible(lambda: digests(self.partial.content), save)

    def _taken_up(self) -> "Moments | _Writing | None":
        """What earlier processes left of the same preparation; None if nothing that can be used."""
        if not self.partial.has_state:
            return None
        try:
            return self._reopened(self.partial.progress())
        except (Corrupt, NotFound, LookupError, TypeError, ValueError):
            self.around.report.note(
                "What a stopped preparation left is of other data or settings, or damaged."
            )
            self.partial.begin_anew()
            return None

    def _reopened(self, progress: Mapping[str, Any]) -> "Moments | _Writing":
        if progress["key"] != self.key:
            raise Corrupt("It is of other data or settings.")
        done, arrays = range(sum(self.source.sizes.values()) + 1)[progress["done"]], self.partial.arrays()
        taken_up: Moments | _Writing
        if progress["stage"] == _MEASURING:
            taken_up = Moments.from_arrays(self.source.shape, done, arrays)
        else:
            path = self.partial.content / ARRAYS
            writer = ArrayWriter.resume(path, self._declared(), progress["rows"])
            taken_up = _Writing(writer, self._stored_whitening(), arrays["labels"])
            if len(arrays["labels"]) != _unlabelled(progress["rows"]):
                raise Corrupt("Its labels aren't those of its images.")
        self.around.report.note(f"Going on at image {done}, where {progress['stage']} was stopped.")
        return taken_up

    def _check_space(self) -> None:
        """Refuse to begin what the disk has no room for."""
        taken = sum(
            int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in self._declared().values()
        )
        sums = self._dimension() ** 2 * 8 if self.whiten else 0
        needed = int(taken * 1.01) + sums - bytes_of(self.partial.content)
        free = free_bytes(self.partial.path)
        if needed > free:
            raise RcigError(
                f"Preparing {self.source.name} takes up to {needed} bytes more ({size(needed)}), and "
                f"the disk of the store has {free} ({size(free)}) free. Free some, or choose another "
                "store with --store."
            )

    def _dimension(self) -> int:
        side, _, channels = self.source.shape
        return tile_side(side) ** 2 * channels

    def _declared(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape and type of every array."""
        shape, channels = self.source.shape, self.source.shape[2]
        sizes: dict[str, tuple[int, ...]] = {"mean": (channels,), "std": (channels,)}
        if self.whiten:
            square = (self._dimension(), self._dimension())
            sizes |= {"zca_mean": (int(np.prod(shape)),), "matrix": square, "inverse": square}
        declared: dict[str, tuple[tuple[int, ...], Any]] = {
            f"whitening/{name}": (length, np.float32) for name, length in sizes.items()
        }
        for split in SPLITS:
            count = self.source.sizes[split]
            declared[f"{split}/images"] = ((count, *shape), np.float32)
            declared[f"{split}/labels"] = ((count,), np.int32)
        return declared

    def _measured(self, moments: Moments | None) -> Whitening:
        """The first pass, where there is anything to measure."""
        known = KNOWN.get(self.source.name)
        fits = known is not None and len(known.mean) == self.source.shape[2]
        mean, std = (known.mean, known.std) if known is not None and fits else (None, None)
        if mean is not None and std is not None and not self.whiten:
            return Whitening(np.array(mean, np.float32), np.array(std, np.float32))
        moments = moments or Moments(self.source.shape, self.whiten)
        self._measure(moments)
        fit = partial(fit_to, moments, mean=mean, std=std, regularisation=self.regularisation)
        if not (self.whiten and self._dimension() >= _TAKES_LONG):
            return fit()
        self.around.report.note(
            f"Computing the whitening of {self._dimension()} dimensions: this takes minutes."
        )
        self._save_moments(moments)  # before they are used up
        return self._interruptible(fit, lambda: None)

    def _measure(self, moments: Moments) -> None:
        self.done = moments.count
        self._show()
        rows = block_size(self.source.shape, products=self.whiten)
        batches = self.source.batches_from("train", rows, self.done) if self.done < self.total else iter(())
        with self._through(batches, lambda batch: block_of(batch.images, products=self.whiten)) as blocks:
            try:
                for block in blocks:
                    moments.add(block)
                    self._advance(block.count, partial(self._save_moments, moments))
            except _StopAsked:
                self._save_moments(moments)
                raise self._interrupted() from None

    def _save_moments(self, moments: Moments) -> None:
        with self._saving():
            self.partial.save(self._document(), moments.arrays())

    def _begun(self, whitening: Whitening) -> "_Writing":
        """Arrays that hold the whitening, and no image yet."""
        self.stage = _WRITING
        path = self.partial.begin_content() / ARRAYS
        under_way = _Writing(ArrayWriter.create(path, self._declared()), whitening, np.zeros(0, np.int32))
        for name, array in whitening.arrays().items():
            under_way.writer.append(f"whitening/{name}", array)
        if self.partial.has_state:  # the sums, which have served
            self._save_writing(under_way)
        return under_way

    def _stored_whitening(self) -> Whitening:
        names = [name for name in self._declared() if name.startswith("whitening/")]
        path = self.partial.content / ARRAYS
        return Whitening.from_arrays({name.split("/")[1]: read_array(path, name) for name in names})

    def _write(self, under_way: "_Writing") -> None:
        """The second pass."""
        self.stage, self.done, self.total = _WRITING, 0, sum(self.source.sizes.values())
        for split in SPLITS:
            count = self.source.sizes[split]
            if under_way.writer.written(f"{split}/labels") == count:
                self.done += count
            else:
                self._write_split(split, under_way)
        under_way.writer.close()

    def _write_split(self, split: Split, under_way: "_Writing") -> None:
        writer, count = under_way.writer, self.source.sizes[split]
        start = writer.written(f"{split}/images")
        under_way.begin(count, start)
        self.done += start
        self._show()
        rows = max(1, min(_BATCH, _BATCH_BYTES // (int(np.prod(self.source.shape)) * 4)))
        # Batches are those of a pass from the beginning: the rounding of a product may depend on its size.
        skipped = start % rows
        batches = self.source.batches_from(split, rows, start - skipped) if start < count else iter(())
        whiten = under_way.whitening.apply
        with self._through(batches, lambda batch: (whiten(batch.images), batch.labels)) as whitened:
            try:
                for images, labels in whitened:
                    writer.append(f"{split}/images", images[skipped:])
                    under_way.add(labels[skipped:])
                    self._advance(len(labels) - skipped, partial(self._save_writing, under_way))
                    skipped = 0
            except _StopAsked:
                self._save_writing(under_way)
                raise self._interrupted() from None
        writer.append(f"{split}/labels", under_way.labels)

    def _save_writing(self, under_way: "_Writing") -> None:
        with self._saving():
            rows = under_way.writer.secure()
            done = sum(rows[f"{split}/images"] for split in SPLITS)
            labels = {"labels": under_way.labels[: _unlabelled(rows)]}
            self.partial.save({**self._document(), "done": done, "rows": rows}, labels)

    def _through(
        self, batches: Iterator[Batch], function: Callable[[Batch], Result]
    ) -> "closing[Generator[Result, None, None]]":
        return closing(overlapped(batches, function, workers=self.around.workers, look=self._look))

    def _advance(self, count: int, save: Callable[[], None]) -> None:
        """So many images are done: show it, and save where that is due."""
        self.done += count
        self._show()
        since = time.monotonic() - self.saved_at
        if since >= max(SAVE_EVERY, self.saving_took / _SAVING_SHARE):
            save()

    @contextmanager
    def _saving(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - began

    def _document(self) -> dict[str, Any]:
        return {"key": self.key, "stage": self.stage, "done": self.done}

    def _show(self) -> None:
        self.around.report.progress(self.stage, self.done, self.total)

    def _look(self) -> None:
        if self.around.stop.signal_number is not None:
            raise _StopAsked

    def _interruptible(self, function: Callable[[], Result], save: Callable[[], None]) -> Result:
        """What a function that takes minutes returns, unless a signal comes meanwhile."""
        try:
            return aside(function, self._look)
        except _StopAsked:
            save()
            raise self._interrupted() from None

    def _interrupted(self) -> Interrupted:
        return Interrupted(
            f"Stopped preparing {self.source.name} at image {self.done} of {self.total}, {self.stage}. "
            "The same command goes on from there.",
            self.around.stop.signal_number or 0,
        )


def _unlabelled(rows: Mapping[str, int]) -> int:
    """How many images are written of the split whose labels aren't; 0 if there is none."""
    counts = ((rows[f"{split}/images"], rows[f"{split}/labels"]) for split in SPLITS)
    return next((images for images, labels in counts if images != labels), 0)


class _Writing:
    """Arrays under way: their writer, the whitening, and the labels of the split under way.

    Parameters
    ----------
    writer, whitening
        As they are.
    labels
        Those of the images that are written already.
    """

    def __init__(self, writer: ArrayWriter, whitening: Whitening, labels: Labels) -> None:
        self.writer, self.whitening = writer, whitening
        self.labels, self._count = labels, len(labels)

    def begin(self, count: int, start: int) -> None:
        """Make room for the labels of a split, of which the first ``start`` are there."""
        known, self.labels = self.labels[:start], np.zeros(count, np.int32)
        self.labels[:start] = known
        self._count = start

    def add(self, labels: Labels) -> None:
        """Note the labels of some images more."""
        self.labels[self._count : self._count + len(labels)] = labels
        self._count += len(labels)
