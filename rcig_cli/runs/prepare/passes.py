"""The two passes over the images that prepare a data set, and how they are resumed.

    measuring   gathers statistics of the training images, from which the whitening follows
    writing     whitens every image and writes it, shard by shard

Reading and decoding, computing, and compressing and writing overlap; memory depends on the size of an image,
not on their number.  Progress is saved regularly: in the first pass the statistics, whose sums are exact in
any order, and in the second pass which shards are complete.  So a preparation that was killed and resumed
gives the same bytes as one that wasn't.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import SPLITS, Batch, ImageSource, Split
from rcig_cli.data.whitening.moments import (
    Block,
    Gather,
    Moments,
    block_of,
    block_size,
    dimension_of,
    rows_of,
    what_to_gather,
)
from rcig_cli.data.whitening.whitening import Whitening, array_shapes, fit_to
from rcig_cli.errors import ConfigError, Corrupt, Interrupted, NotFound, RcigError
from rcig_cli.reporting.formatting import size
from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.prepare.parallel import in_background, overlapped
from rcig_cli.runs.prepare.prepared import ARRAYS, WHITENING, read_whitening
from rcig_cli.runs.report import Report
from rcig_cli.runs.signals import StopRequest
from rcig_cli.store.arrays import ArrayWriter
from rcig_cli.store.digests import digests
from rcig_cli.store.files import bytes_of, free_bytes
from rcig_cli.store.partial import Partial

SAVE_EVERY = 30.0  # seconds, at least
SAVING_SHARE = 0.05  # of the time, at most

_BATCH = 512  # images at most
_BATCH_BYTES = 2**25  # of a batch as float32, at most
_CONSTANT = 1e-6  # standard deviation of pixels between 0 and 1, which a single other pixel exceeds
_DARK = 16  # images with no brighter pixel were stored on another scale
_TAKES_LONG = 3000  # rows of a matrix whose decomposition takes long enough to be announced
_SPARE = 1.01  # how much more room than the arrays take uncompressed a preparation may need

# Threads that compute, each with a batch in memory; the slowest part, a matrix product, uses several itself.
_MOST_WORKERS = 4

Result = TypeVar("Result")


class _StopRequested(Exception):
    """A signal has come."""


class Preparation:
    """The two passes over the images of a source.

    Parameters
    ----------
    folder
        The folder in which the data set is made, with the progress of earlier processes.
    key
        Digest of the data and the settings: the work of earlier processes is resumed if it has the same.
    whiten, regularization
        Whether to whiten beyond means and deviations, and with which regularization.
    """

    def __init__(
        self,
        folder: Partial,
        source: ImageSource,
        key: str,
        *,
        whiten: bool,
        regularization: float,
        report: Report,
        stop: StopRequest,
    ) -> None:
        self.folder, self.source, self.key, self.report, self.stop = folder, source, key, report, stop
        self.whiten, self.regularization = whiten, regularization
        self.shape, self.training = source.shape, source.sizes["train"]
        self.stage, self.done, self.total = "measuring", 0, self.training
        self.moments: Moments | None = None
        self.brightest = 0  # pixel of the training images that have been measured
        self.writer: ArrayWriter | None = None
        self.labels: list[npt.NDArray[np.int32]] = []  # of the split that is being written
        self.saved_at, self.saving_took = time.monotonic(), 0.0

    def run(self) -> dict[str, str]:
        """Write the arrays, resuming the work of an earlier process; return the digests of their files.

        Raises
        ------
        Interrupted
            If a signal has come; what has been done is saved.
        RcigError
            If the disk is too small, images can't be read, or arrays can't be written.
        """
        self._resume()
        self._check_room()
        self.stop.unsaved = True
        try:
            if self.writer is None:
                self._begin_writing(self._whitening())
            self._write()
            return in_background(lambda: digests(self.folder.content), self._poll)
        except _StopRequested:
            self._save()
            raise Interrupted(
                f"Stopped preparing {self.source.name} at image {self.done} of {self.total}, {self.stage}. "
                "Run the same command again to resume.",
                self.stop.signal_number or 0,
            ) from None

    # Saving and resuming.

    def _save(self) -> None:
        began = time.monotonic()
        document = {"key": self.key, "stage": self.stage, "done": self.done, "brightest": self.brightest}
        if self.writer is not None:
            rows = self.writer.secure()
            # Rows that aren't in a complete shard yet are not saved.
            document |= {"rows": rows, "done": sum(rows[f"{split}/images"] for split in SPLITS)}
            incomplete = [s for s in SPLITS if rows[f"{s}/images"] != rows[f"{s}/labels"]]
            written = rows[f"{incomplete[0]}/images"] if incomplete else 0
            self.folder.save(document, {"labels": _joined(self.labels)[:written]})
        elif self.moments is not None:
            self.folder.save(document, self.moments.arrays())
        self.saved_at = time.monotonic()
        self.saving_took = self.saved_at - began

    def _resume(self) -> None:
        if not self.folder.has_state:
            return
        try:
            document, arrays = self.folder.load()
            if document["key"] != self.key:
                self.report.note("The data or the settings have changed: starting over.")
                self.folder.discard()
                return
            if document["stage"] == "measuring":
                self.moments = Moments.from_arrays(self.shape, document["done"], arrays)
                self.brightest = document["brightest"]
            else:
                self.writer = ArrayWriter.resume(self.folder.content / ARRAYS, document["rows"])
                self.labels = [arrays["labels"]]
        except (Corrupt, NotFound, LookupError, TypeError, ValueError):
            self.report.note("The saved progress of the stopped preparation is damaged: starting over.")
            self.folder.discard()
            return
        self.report.note(f"Resuming at image {document['done']}, {document['stage']}.")

    def _check_room(self) -> None:
        """Refuse to begin if the disk doesn't have enough space."""
        taken = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in self._declared().values())
        gathered = 0
        if self.whiten:
            few = self._gather() == "images"
            gathered = self.training * math.prod(self.shape) if few else 8 * dimension_of(self.shape) ** 2
        needed = int(taken * _SPARE) + gathered - bytes_of(self.folder.content)
        free = free_bytes(self.folder.path)
        if needed > free:
            raise RcigError(
                f"Preparing {self.source.name} needs up to {size(needed)} of disk space, but only "
                f"{size(free)} is free. Free some space, or choose another store with --store."
            )

    def _declared(self) -> dict[str, tuple[tuple[int, ...], Any]]:
        """Shape and type of every array."""
        shapes = array_shapes(self.shape, self.training, whiten=self.whiten)
        declared: dict[str, tuple[tuple[int, ...], Any]] = {
            WHITENING + name: (shape, np.float32) for name, shape in shapes.items()
        }
        for split in SPLITS:
            count = self.source.sizes[split]
            declared[f"{split}/images"] = ((count, *self.shape), np.float32)
            declared[f"{split}/labels"] = ((count,), np.int32)
        return declared

    # The first pass.

    def _whitening(self) -> Whitening:
        known = KNOWN.get(self.source.name)
        if known is not None and len(known.mean) != self.shape[2]:
            known = None  # such as a grey copy of coloured images
        if known is not None and not self.whiten:
            return Whitening(np.array(known.mean, np.float32), np.array(known.std, np.float32))
        mean, std = (known.mean, known.std) if known is not None else (None, None)
        moments = self._measure()
        fit = partial(fit_to, moments, mean=mean, std=std, regularization=self.regularization)
        rows = min(rows_of(self.shape, self.training), dimension_of(self.shape)) if self.whiten else 0
        if rows < _TAKES_LONG:
            return fit()
        self.report.note(f"Computing the whitening from a {rows} x {rows} matrix; this takes minutes.")
        self._save()
        self.moments = None  # they are overwritten, and not to be saved again
        return in_background(fit, self._poll)

    def _measure(self) -> Moments:
        moments = self.moments = self.moments or Moments(self.shape, self._gather())
        self.done = moments.count
        self._show()
        batches: Iterator[Batch] = iter(())
        if self.done < self.total:
            batches = self.source.batches_from("train", block_size(self.shape, moments.gather), self.done)

        def measured(batch: Batch) -> tuple[Block, int]:
            return block_of(batch.images, moments.gather), int(batch.images.max())

        with closing(self._overlapped(batches, measured)) as blocks:
            for block, brightest in blocks:
                moments.add(block)
                self.brightest = max(self.brightest, brightest)
                self._advance(block.count)
        if self.brightest < _DARK:
            raise ConfigError(
                f"{self.source.name} is almost black: on a scale to 255, no training image has a pixel "
                f"above {self.brightest}. Pass the values of black and white, such as "
                f"--range 0,{self.brightest or 1}."
            )
        if moments.channel_std().max() < _CONSTANT:
            raise ConfigError(
                f"{self.source.name} has one colour only, the same in all training images: check the files."
            )
        return moments

    def _gather(self) -> Gather:
        return what_to_gather(self.shape, self.training, whiten=self.whiten)

    # The second pass.

    def _begin_writing(self, whitening: Whitening) -> None:
        path = self.folder.begin_content() / ARRAYS
        self.writer = ArrayWriter.create(path, self._declared())
        for name, array in whitening.arrays().items():
            self.writer.append(WHITENING + name, array)
        self.stage = "writing"
        if self.folder.has_state:  # the statistics, which are no longer needed
            self._save()

    def _write(self) -> None:
        assert self.writer is not None
        self.stage, self.done, self.total = "writing", 0, sum(self.source.sizes.values())
        whitening = read_whitening(self.folder.content / ARRAYS)
        for split in SPLITS:
            count = self.source.sizes[split]
            if self.writer.written(f"{split}/labels") == count:
                self.done += count
            else:
                self._write_split(split, whitening, self.writer)
        self.writer.close()
        self._save()

    def _write_split(self, split: Split, whitening: Whitening, writer: ArrayWriter) -> None:
        start = writer.written(f"{split}/images")
        self.labels = [_joined(self.labels)[:start]]
        self.done += start
        self._show()
        rows = max(1, min(_BATCH, _BATCH_BYTES // (math.prod(self.shape) * 4)))
        # Batches are those of a pass from the beginning: the rounding of a product may depend on its size.
        skipped = start % rows
        batches: Iterator[Batch] = iter(())
        if start < self.source.sizes[split]:
            batches = self.source.batches_from(split, rows, start - skipped)
        whiten = whitening.apply
        with closing(self._overlapped(batches, lambda b: (whiten(b.images), b.labels))) as whitened:
            for images, labels in whitened:
                writer.append(f"{split}/images", images[skipped:])
                self.labels.append(labels[skipped:])
                self._advance(len(labels) - skipped)
                skipped = 0
        writer.append(f"{split}/labels", _joined(self.labels))
        self.labels = []

    # Both.

    def _overlapped(self, batches: Iterator[Batch], function: Callable[[Batch], Result]) -> Any:
        workers = min(processors(), _MOST_WORKERS)
        return overlapped(batches, function, workers=workers, poll=self._poll)

    def _advance(self, count: int) -> None:
        """Show that so many more images are done, and save if it is time to."""
        self.done += count
        self._show()
        if time.monotonic() - self.saved_at >= max(SAVE_EVERY, self.saving_took / SAVING_SHARE):
            self._save()

    def _show(self) -> None:
        self.report.progress(self.stage, self.done, self.total)

    def _poll(self) -> None:
        if self.stop.signal_number is not None:
            raise _StopRequested


def _joined(labels: list[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *labels])
