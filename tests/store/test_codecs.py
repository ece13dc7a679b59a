"""Zstd: no chunk unpacks to more than its array declares."""

import numpy as np
import pytest
import zarr
from google_crc32c import value as crc32c
from numcodecs.zstd import Zstd

from rcig_cli.errors import Corrupt
from rcig_cli.store.arrays import read_array, write_arrays
from rcig_cli.store.codecs import size_told
from rcig_cli.store.rows import StoredRows
from tests.fuzz.guard import peak_of_memory, start_of_memory

ROWS = np.arange(96, dtype=np.float32).reshape(6, 4, 4)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_791, 65_792, 70_000, 1 << 20])
@pytest.mark.parametrize("checksum", [False, True])
def test_a_frame_says_what_it_holds(size, checksum):
    assert size_told(Zstd(level=3, checksum=checksum).encode(bytes(size))[:18]) == size


@pytest.mark.parametrize("header", [b"", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd\xe0\1\2", b"PK\3\4" * 5])
def test_what_is_no_frame_says_nothing(header):
    assert size_told(header) is None


def put(group, packed):
    """Let the one chunk of the array be this, all check sums right."""
    chunk = packed + crc32c(packed).to_bytes(4, "little")
    index = (0).to_bytes(8, "little") + len(chunk).to_bytes(8, "little")
    shard = chunk + index + crc32c(index).to_bytes(4, "little")
    (group / "rows" / "c" / "0" / "0" / "0").write_bytes(shard)


def bombs():
    zstd = Zstd(level=3)
    yield "a gigabyte in one frame", zstd.encode(bytes(1 << 30))
    yield "a right frame and a large one", zstd.encode(ROWS.tobytes()) + zstd.encode(bytes(1 << 28))
    yield "too little", zstd.encode(bytes(383))
    yield "too much", zstd.encode(bytes(385))
    yield "no frame", b"\0" * 50


@pytest.mark.parametrize(
    ("name", "packed"), list(bombs()), ids=lambda value: value if value == str(value) else ""
)
def test_a_chunk_takes_no_more_memory_than_its_array_declares(tmp_path, name, packed):
    write_arrays(tmp_path / "a.zarr", {"rows": ROWS})
    put(tmp_path / "a.zarr", Zstd(level=3).encode(ROWS.tobytes()))
    np.testing.assert_array_equal(read_array(tmp_path / "a.zarr", "rows"), ROWS)
    put(tmp_path / "a.zarr", packed)
    if len(packed) > 1000:  # a file that can't be so large is refused before it is opened
        with pytest.raises(Corrupt, match="can't need"):
            read_array(tmp_path / "a.zarr", "rows")
        return
    before = start_of_memory()
    with pytest.raises(Corrupt, match="rows"):
        read_array(tmp_path / "a.zarr", "rows")
    with pytest.raises(Corrupt, match="rows"):
        StoredRows(tmp_path / "a.zarr", "rows")[np.array([1])]
    assert peak_of_memory() - before < 32 << 20


def test_a_small_file_that_would_fill_the_memory(tmp_path):
    """Hundreds of kilobytes for an array that declares millions: the size fits, the content doesn't."""
    rows = np.zeros((1 << 18,), np.float32)
    write_arrays(tmp_path / "a.zarr", {"rows": rows})
    packed = Zstd(level=3).encode(bytes(1 << 30))
    chunk = packed + crc32c(packed).to_bytes(4, "little")
    index = (0).to_bytes(8, "little") + len(chunk).to_bytes(8, "little")
    shard = chunk + index + crc32c(index).to_bytes(4, "little")
    (tmp_path / "a.zarr" / "rows" / "c" / "0").write_bytes(shard)
    before = start_of_memory()
    with pytest.raises(Corrupt, match="isn't of the size that its array declares"):
        read_array(tmp_path / "a.zarr", "rows")
    assert peak_of_memory() - before < 32 << 20


def test_ours_is_the_one_that_zarr_takes(tmp_path):
    write_arrays(tmp_path / "a.zarr", {"rows": ROWS})
    array = zarr.open_array(tmp_path / "a.zarr" / "rows", mode="r")
    assert "BoundedZstd" in repr(array.metadata)
