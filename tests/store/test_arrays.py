"""Arrays: exact, deterministic, in shards; damage is found; rows are read alone."""

import json
import os
import shutil

import numpy as np
import pytest
import zarr

from rcig_cli.errors import Corrupt
from rcig_cli.store import arrays
from rcig_cli.store.arrays import (
    ArrayWriter,
    StoredRows,
    read_array,
    read_arrays,
    read_npz,
    rows_per_chunk_and_shard,
    write_arrays,
    write_npz,
)
from rcig_cli.store.digests import digests

DTYPES = ["bool", "float16", "float32", "float64", "int8", "int32", "int64", "uint8", "uint32", "uint64"]


@pytest.fixture
def small_grid(monkeypatch):
    """Cut at 64 bytes and 256 bytes in place of 1 MiB and 64 MiB."""
    monkeypatch.setattr(arrays, "CHUNK_BYTES", 64)
    monkeypatch.setattr(arrays, "SHARD_BYTES", 256)


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(37, 2, 2, 1)).astype(np.float32)


@pytest.fixture
def group(tmp_path, small_grid, images):
    path = tmp_path / "arrays.zarr"
    write_arrays(path, {"train/images": images, "train/labels": np.arange(37)})
    return path


def shards(group, name):
    return sorted(path for path in (group / name / "c").rglob("*") if path.is_file())


@pytest.mark.parametrize("shape", [(5,), (0, 3), (3, 0), (300, 2, 2)])
def test_every_dtype_and_shape_comes_back(tmp_path, small_grid, shape):
    values = {dtype: np.random.default_rng(1).integers(0, 2, shape).astype(dtype) for dtype in DTYPES}
    write_arrays(tmp_path / "a", values)
    for dtype, back in read_arrays(tmp_path / "a").items():
        assert (back.dtype, back.shape, back.tobytes()) == (dtype, shape, values[dtype].tobytes())


def test_floats_are_exact(tmp_path, small_grid):
    values = np.repeat([-0.0, 0.0, np.nan, -np.inf, 5e-324], 40)
    write_arrays(tmp_path / "a", {"x": values})
    assert read_array(tmp_path / "a", "x").tobytes() == values.tobytes()
    assert zarr.open_group(tmp_path / "a", mode="r")["x"][:].tobytes() == values.tobytes()


def test_names_are_a_tree_in_a_flat_dictionary(group, images):
    back = read_arrays(group)
    assert list(back) == ["train/images", "train/labels"]
    assert list(read_arrays(group, "train/l")) == ["train/labels"]
    np.testing.assert_array_equal(back["train/images"], images)


def test_slices_of_stored_rows(group, images):
    stored = StoredRows(group, "train/images")
    for rows in (slice(None), slice(3, 20), slice(30, 99), slice(5, 5), slice(9, 3)):
        np.testing.assert_array_equal(stored[rows], images[rows])
    assert (len(stored), stored.shape, stored.dtype) == (37, images.shape, images.dtype)
    assert stored.nbytes == images.nbytes


@pytest.mark.parametrize(
    "chosen", [[3], [], [36, 0, 0, 17, 36], [[1, 30], [30, 2]]], ids=["one", "none", "repeated", "two axes"]
)
def test_indices_of_any_shape_into_stored_rows(group, images, chosen):
    chosen = np.asarray(chosen, np.int64)
    found = StoredRows(group, "train/images")[chosen]
    assert (found.shape, found.dtype) == ((*chosen.shape, 2, 2, 1), np.float32)
    np.testing.assert_array_equal(found, images[chosen])


@pytest.mark.parametrize("kept", [[0, 1, 2, 15, 16, 36], [3], [], [0, 36], [*range(37)]])
def test_some_of_the_rows(group, images, kept):
    rows = StoredRows(group, "train/images", np.array(kept, np.int64))
    for part in (slice(None), slice(1, 4), slice(2, 2)):
        np.testing.assert_array_equal(rows[part], images[kept][part])
    places = np.arange(len(kept))[::-1]
    np.testing.assert_array_equal(rows[places], images[kept][places])
    assert (len(rows), rows.shape) == (len(kept), (len(kept), 2, 2, 1))
    with pytest.raises(IndexError, match=f"{len(kept)} rows"):
        rows[np.array([len(kept)])]


@pytest.mark.parametrize("chosen", [[37], [0, -1]])
def test_rows_that_do_not_exist(group, chosen):
    with pytest.raises(IndexError, match="37 rows"):
        StoredRows(group, "train/images")[np.array(chosen)]


def test_only_the_shards_of_the_rows_are_read(group, images):
    """With the first of three shards lost and the last damaged, the second still gives its rows."""
    first, _, last = shards(group, "train/images")
    first.unlink()
    content = bytearray(last.read_bytes())
    content[3] ^= 1
    last.write_bytes(content)
    rows = StoredRows(group, "train/images")
    np.testing.assert_array_equal(rows[np.array([31, 16])], images[[31, 16]])
    np.testing.assert_array_equal(rows[16:32], images[16:32])
    with pytest.raises(Corrupt, match=r"train/images .* its file c/0/0/0/0 is missing or empty"):
        rows[np.array([16, 15])]
    with pytest.raises(Corrupt, match=r"train/images .* is damaged"):
        rows[np.array([32])]


@pytest.mark.parametrize("sizes", [[37], [1] * 37, [20, 17], [3, 0, 16, 18], [16, 16, 5]])
def test_batches_of_any_size_give_the_same_bytes(tmp_path, group, images, sizes):
    path, position = tmp_path / "streamed", 0
    declared = {"train/images": (images.shape, images.dtype), "train/labels": ((37,), np.int64)}
    writer = ArrayWriter.create(path, declared)
    for size in sizes:
        batch = images[position : position + size].copy()
        writer.append("train/images", batch)
        batch[:] = 0  # the writer must have made a copy
        position += size
    writer.append("train/labels", np.arange(37))
    writer.close()
    assert digests(path) == digests(group)


def test_chunks_are_of_about_1_mib_and_shards_of_64():
    chunk, shard = rows_per_chunk_and_shard((50_000, 32, 32, 3), 4)
    row = 32 * 32 * 3 * 4
    assert 0.95 * 2**20 < chunk * row <= 2**20
    assert 0.95 * 2**26 < shard * row <= 2**26
    assert shard % chunk == 0
    assert rows_per_chunk_and_shard((10, 32, 32, 3), 4) == (10, 10)
    assert rows_per_chunk_and_shard((100, 1000, 1000, 3), 4)[0] == 1


def test_chunks_of_a_large_array_hold_an_image_or_a_few():
    assert rows_per_chunk_and_shard((50_000, 64, 64, 3), 4)[0] == 21
    assert rows_per_chunk_and_shard((1_281_167, 64, 64, 3), 4) == (1, 1365)
    assert rows_per_chunk_and_shard((20_000_000, 8, 8, 3), 4)[0] == 2**16 // 768


def test_the_format_is_zarr_3_with_shards_zstd_and_crc(group):
    document = json.loads((group / "train/images/zarr.json").read_text())
    (sharding,) = document["codecs"]
    assert [document["zarr_format"], document["attributes"]] == [3, {}]
    assert sharding["name"] == "sharding_indexed"
    assert [codec["name"] for codec in sharding["configuration"]["codecs"]] == ["bytes", "zstd", "crc32c"]
    assert [codec["name"] for codec in sharding["configuration"]["index_codecs"]] == ["bytes", "crc32c"]
    assert len(shards(group, "train/images")) == 3
    assert "consolidated" not in (group / "zarr.json").read_text()


def test_the_writer_holds_at_most_a_shard(tmp_path, small_grid):
    writer = ArrayWriter.create(tmp_path / "a", {"x": ((100, 4), np.float32)})
    for _ in range(25):
        writer.append("x", np.ones((4, 4), np.float32))
        assert sum(block.nbytes for block in writer._columns["x"].waiting) < arrays.SHARD_BYTES
    writer.close()


def test_flipped_bytes_of_a_shard_are_found(group):
    shard = shards(group, "train/images")[1]
    content = shard.read_bytes()
    for position in range(0, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 0x10
        shard.write_bytes(damaged)
        with pytest.raises(Corrupt, match=r"The array train/images in .*arrays\.zarr is damaged: "):
            read_array(group, "train/images")
    shard.write_bytes(content)
    read_array(group, "train/images")


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_cut_or_lost_shard_is_found(group, length):
    shard = shards(group, "train/images")[0]
    os.truncate(shard, length)
    with pytest.raises(Corrupt, match="train/images"):
        read_array(group, "train/images")
    shard.unlink()
    with pytest.raises(Corrupt, match=r"train/images .* its file c/0/0/0/0 is missing or empty"):
        read_array(group, "train/images")


def test_what_is_missing_is_named(group):
    for name in ("test/images", "train"):
        with pytest.raises(Corrupt, match=rf"The array {name} in .* is missing"):
            read_array(group, name)
    shutil.rmtree(group)
    with pytest.raises(Corrupt, match=r"zarr\.json is missing"):
        read_arrays(group)


def test_writing_resumes_with_what_was_secured(tmp_path, group, images):
    declared = {"train/images": (images.shape, images.dtype), "train/labels": ((37,), np.int64)}
    write_arrays(tmp_path / "whole", {"train/images": images, "train/labels": np.arange(37)})
    writer = ArrayWriter.create(tmp_path / "a", declared)
    writer.append("train/images", images[:20])
    rows = writer.secure()
    assert rows == {"train/images": 16, "train/labels": 0}
    writer.append("train/images", images[20:])
    last = shards(tmp_path / "a", "train/images")[-1]
    os.truncate(last, 10)  # after a power failure, what wasn't secured may be incomplete
    resumed = ArrayWriter.resume(tmp_path / "a", rows)
    assert not last.exists()
    resumed.append("train/images", images[16:])
    resumed.append("train/labels", np.arange(37))
    resumed.close()
    assert digests(tmp_path / "a") == digests(tmp_path / "whole")
    shards(tmp_path / "a", "train/images")[0].unlink()
    with pytest.raises(Corrupt, match="missing or empty"):
        ArrayWriter.resume(tmp_path / "a", rows)


def test_damage_to_an_npz_file_is_found(tmp_path):
    path, values = tmp_path / "a.npz", {"x": np.arange(40.0), "y": np.arange(3)}
    write_npz(path, values)
    assert {name: array.tolist() for name, array in read_npz(path).items()} == {
        name: array.tolist() for name, array in values.items()
    }
    content = path.read_bytes()
    at = content.index(np.float64(20).tobytes())
    entry = content.index(b"PK\1\2")  # in the archive's directory, of an array
    flags, compression = entry + 8, entry + 10
    changed = [content[:place] + b"\1" + content[place + 1 :] for place in (at, flags, compression)]
    for damaged in (b"", content[:100], content[:-100], *changed):
        path.write_bytes(damaged)
        with pytest.raises(Corrupt, match=r"a\.npz is damaged"):
            read_npz(path)
