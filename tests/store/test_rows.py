"""Rows that stay on the disk: what is asked for, and nothing else, is read."""

import numpy as np
import pytest

from rcig_cli.errors import Corrupt
from rcig_cli.store import grids
from rcig_cli.store.arrays import write_arrays
from rcig_cli.store.grids import grid_for
from rcig_cli.store.rows import StoredRows


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(37, 2, 2, 1)).astype(np.float32)


@pytest.fixture
def group(tmp_path, monkeypatch, images):
    monkeypatch.setattr(grids, "CHUNK_BYTES", 64)
    monkeypatch.setattr(grids, "SHARD_BYTES", 256)
    write_arrays(tmp_path / "a", {"train/images": images, "rate": np.float32(1)})
    return tmp_path / "a"


@pytest.mark.parametrize(
    "chosen",
    [[3], [], [36, 0, 0, 17, 36], [[1, 30], [30, 2]], [[[5]]], list(range(37))],
    ids=["one", "none", "repeated", "two axes", "three axes", "all"],
)
def test_indices_of_any_shape(group, images, chosen):
    chosen = np.asarray(chosen, np.int64)
    rows = StoredRows(group, "train/images")
    found = rows[chosen]
    assert (found.shape, found.dtype) == ((*chosen.shape, 2, 2, 1), np.float32)
    np.testing.assert_array_equal(found, images[chosen])
    assert (len(rows), rows.shape, rows.dtype, rows.nbytes) == (37, images.shape, images.dtype, images.nbytes)


@pytest.mark.parametrize("rows", [slice(None), slice(3, 20), slice(30, 99), slice(5, 5)])
def test_slices(group, images, rows):
    np.testing.assert_array_equal(StoredRows(group, "train/images")[rows], images[rows])


@pytest.mark.parametrize("chosen", [[37], [0, -1]])
def test_rows_that_are_not_there(group, chosen):
    with pytest.raises(IndexError, match="37 rows"):
        StoredRows(group, "train/images")[np.array(chosen)]


def test_only_what_holds_them_is_read(group, images):
    """With the first of three shards lost, and the last damaged, the second still gives its rows."""
    shards = sorted(path for path in (group / "train/images/c").rglob("*") if path.is_file())
    shards[0].unlink()
    content = bytearray(shards[2].read_bytes())
    content[3] ^= 1
    shards[2].write_bytes(content)
    rows = StoredRows(group, "train/images")
    np.testing.assert_array_equal(rows[np.array([31, 16])], images[[31, 16]])
    with pytest.raises(Corrupt, match=r"train/images .* its file c/0/0/0/0 is missing or empty"):
        rows[np.array([16, 15])]
    with pytest.raises(Corrupt, match=r"train/images .* is damaged"):
        rows[np.array([32])]


@pytest.mark.parametrize("name", ["test/images", "train", "rate"])
def test_what_has_no_rows_is_named(group, name):
    with pytest.raises(Corrupt, match=f"The array {name} in"):
        StoredRows(group, name)


def test_a_large_array_has_an_image_or_a_few_in_a_chunk():
    small, large = grid_for((50_000, 64, 64, 3), 4), grid_for((1_281_167, 64, 64, 3), 4)
    assert small.chunk[0] == 21
    assert large.chunk[0] == 1
    assert large.shard_rows == 1365
    assert grid_for((20_000_000, 8, 8, 3), 4).chunk[0] == 2**16 // 768
