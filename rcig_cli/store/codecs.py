"""Zstd that unpacks no more than its chunk declares.

Zarr asks numcodecs for whatever a frame says, so some kilobytes on the disk could come to gigabytes, however
small the array.  Importing this makes ours the one that Zarr takes in this process.
"""

import asyncio
import math
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec
from zarr.registry import register_codec

_NAME = "rcig_cli.store.codecs.BoundedZstd"
_MAGIC, _MAGIC_BYTES = b"\x28\xb5\x2f\xfd", 4
_HEADER = 18  # bytes, at most


class BoundedZstd(ZstdCodec):
    """Zarr's codec, which writes the same bytes, and reads into memory that was measured out before."""

    def _decode_sync(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        size = math.prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
        packed = chunk_bytes.as_numpy_array()
        if size_told(bytes(packed[:_HEADER])) != size:
            raise ValueError("a chunk isn't of the size that its array declares")
        room = np.empty(size, np.uint8)
        # Refuses a frame that holds more or less than it says, and more frames than there is room for.
        self._zstd_codec.decode(packed, out=room)
        return chunk_spec.prototype.buffer.from_array_like(room)

    async def _decode_single(self, chunk_bytes: Any, chunk_spec: Any) -> Any:
        return await asyncio.to_thread(self._decode_sync, chunk_bytes, chunk_spec)


def size_told(header: bytes) -> int | None:
    """Return how many bytes a zstd frame says it holds (RFC 8878, 3.1.1.1); None if it doesn't say."""
    if len(header) < _MAGIC_BYTES + 1 or not header.startswith(_MAGIC):
        return None
    descriptor = header[_MAGIC_BYTES]
    flag, is_single = descriptor >> 6, bool(descriptor & 32)
    start = _MAGIC_BYTES + 1 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    length = (int(is_single), 2, 4, 8)[flag]
    field = header[start : start + length]
    if not length or len(field) < length:
        return None
    return int.from_bytes(field, "little") + (256 if length == 2 else 0)


register_codec("zstd", BoundedZstd, qualname=_NAME)
zarr.config.set({"codecs.zstd": _NAME})
