"""Small data sets that tests share."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rcig_cli.data.sources.array_source import ArraySource, ArraySplit, blocks_of
from rcig_cli.data.sources.source import Batch, ImageSource, Split
from rcig_cli.data.whitening.moments import Gather, Moments, block_of, block_size, what_to_gather
from rcig_cli.data.whitening.whitening import Whitening, fit_to
from rcig_cli.errors import RcigError


def array_source(train: np.ndarray, test: np.ndarray) -> ImageSource:
    """Grey images of 2 x 2 pixels with these labels, each filled with its position."""
    splits: dict[Split, ArraySplit] = {}
    for split, labels in (("train", train), ("test", test)):
        positions = np.arange(len(labels)).astype(np.uint8)
        images = np.broadcast_to(positions[:, None, None, None], (len(labels), 2, 2, 1))
        splits[split] = ArraySplit(partial(blocks_of, images), labels.astype(np.int32), (2, 2, 1))
    names = tuple(map(str, range(int(train.max()) + 1)))
    return ArraySource("arrays", "arrays", names, splits, None)


def whole(source: ImageSource, split: Split, size: int = 7) -> Batch:
    """Read a split to its end, checking the sizes of the batches on the way."""
    batches = list(source.batches(split, size))
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batch.images.dtype == np.uint8 and batch.labels.dtype == np.int32 for batch in batches)
    assert all(batch.images.shape == (len(batch), *source.shape) for batch in batches)
    assert sum(map(len, batches)) == source.sizes[split]
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    np.testing.assert_array_equal(labels, source.labels(split))
    return Batch(images, labels)


def assert_same(source: ImageSource, splits: dict[Split, tuple[np.ndarray, np.ndarray]]) -> None:
    """Check that a source has these images and labels, in this order."""
    for split, (images, labels) in splits.items():
        found = whole(source, split, 64)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save_picture(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


_FEW_ROWS = zlib.compress(bytes(10))


def png_bytes(
    width: int, height: int, rows: bytes = _FEW_ROWS, *extra: tuple[bytes, bytes], kind: int = 2
) -> bytes:
    """A PNG file that declares a size, whatever its compressed ``rows`` hold; kind 2 is RGB, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", rows), (b"IEND", b"")]
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def natural_images(count: int, side: int, channels: int, seed: int = 0) -> np.ndarray:
    """Images whose neighbouring pixels resemble each other, as those of photographs do."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, side, side, channels))
    smooth = np.cumsum(np.cumsum(noise, axis=1), axis=2)
    smooth += 2 * rng.normal(size=(count, 1, 1, 1)) + 0.3 * noise
    return np.clip(128 + 20 * smooth, 0, 255).astype(np.uint8)


def measure(images: np.ndarray, gather: Gather) -> Moments:
    """Statistics of images that are in memory, uint8 [n, H, W, c]."""
    moments = Moments(images.shape[1:], gather)
    step = block_size(moments.shape, gather)
    for start in range(0, len(images), step):
        moments.add(block_of(images[start : start + step], gather))
    return moments


def fit(images: np.ndarray, *, zca: bool, **options: Any) -> Whitening:
    """The whitening of training images that are in memory, uint8 [n, H, W, c]."""
    gather = what_to_gather(images.shape[1:], len(images), whiten=zca)
    return fit_to(measure(images, gather), **options)


def npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """The header of an array in an ``.npz`` file."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"shape": shape, "fortran_order": False, "descr": descr})
    return stream.getvalue()


def memory_taken(function: Callable[[], Any]) -> tuple[Any, int]:
    """The value that a function returns, or the `RcigError` that it raises, and its peak memory in bytes.

    Memory that libraries take outside of Python counts too.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # restart the peak
    before = _memory("VmRSS")
    try:
        found = function()
    except RcigError as error:
        found = error
    taken = _memory("VmHWM") - before
    text = str(found) if isinstance(found, RcigError) else "."
    assert 0 < len(text) < 2000
    assert "\n" not in text
    return found, taken


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


class NoTensorFlow:
    """A module finder that finds what another one does, except TensorFlow."""

    def __init__(self, finder: Any) -> None:
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(self, name: str, *place: Any) -> Any:
        return None if name.partition(".")[0] == "tensorflow" else self._finder.find_spec(name, *place)
