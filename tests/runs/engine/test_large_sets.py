"""A set larger than memory: its images are read from the disk as they are needed, with the same results."""

import threading

import numpy as np
import pytest

from rcig_cli.runs.distill.start_images import start_images
from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.prepare import prepared
from rcig_cli.store.arrays import StoredRows
from rcig_cli.store.store import open_store
from tests.conftest import TINY

RUN = ["distill", "digits", "--ipc", "1", *TINY, "--steps", "4", "--checkpoint-every", "2"]


@pytest.fixture
def reads(monkeypatch):
    """The number of images that each reading of a data set took, and its thread."""
    seen, read = [], StoredRows.__getitem__

    def spied(self, chosen):
        found = read(self, chosen)
        if self._name in ("train/images", "test/images"):
            count = len(found.reshape(-1, *self.shape[1:]))
            seen.append((self._name, count, threading.current_thread().name))
        return found

    monkeypatch.setattr(StoredRows, "__getitem__", spied)
    return seen


@pytest.fixture
def without_memory(monkeypatch):
    monkeypatch.setattr(prepared, "free_memory", lambda: 1000)


def arrays(store, run):
    folder = store / "runs" / run / "distilled.zarr"
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_distill_reads_batch_after_batch_ahead_and_gives_the_same(tmp_path, rcig, monkeypatch, reads):
    store = tmp_path / "a"
    assert rcig("prepare", "digits", "--store", store).code == 0
    assert rcig(*RUN, "--store", store).code == 0
    assert [(name, count) for name, count, _ in reads] == [("train/images", 1437)]
    reads.clear()
    monkeypatch.setattr(prepared, "free_memory", lambda: 1000)
    assert rcig(*RUN, "--store", store).code == 0
    assert arrays(store, "run_1") == arrays(store, "run_2")
    assert {name for name, _, _ in reads} == {"train/images"}
    counts = [count for _, count, _ in reads]
    assert counts[0] == 10  # what it starts from
    assert set(counts[1:]) == {64}
    # All batches but the first are read while a step is computed.
    assert [name.startswith("read-ahead") for _, _, name in reads[-4:]] == [True] * 4


def test_evaluate_reads_the_images_of_a_random_subset_alone(tmp_path, rcig, monkeypatch, reads):
    store = tmp_path / "a"
    assert rcig("prepare", "digits", "--store", store).code == 0
    picked = ("distill", "digits", "--ipc", 1, "--algorithm", "random", "--width", 4)
    assert rcig(*picked, "--store", store).code == 0
    command = ["evaluate", "run_1", "--networks", "2", "--steps", "2", "--json", "--store", store]
    reads.clear()
    first = rcig(*command).json
    assert sorted({(name, count) for name, count, _ in reads}) == [("test/images", 360), ("train/images", 10)]
    reads.clear()
    monkeypatch.setattr(prepared, "free_memory", lambda: 1000)
    monkeypatch.setattr("rcig_cli.runs.engine.training.TEST_BATCH", 100)
    again = rcig(*command).json
    assert max(count for _, count, _ in reads) == 100
    for name in ("accuracy", "random_subset"):
        assert again["evaluations"][0][name] == first["evaluations"][0][name]


def test_images_on_the_disk_use_no_memory_and_are_kept_on_no_device(tmp_path, rcig, without_memory):
    assert rcig("prepare", "digits", "--store", tmp_path / "a").code == 0
    there = prepared.open_prepared(open_store(tmp_path / "a", create=False), "digits")
    stored = RealData(there.images("train"), there.labels("train"))
    assert stored.bytes_in_memory == 0
    assert not stored.fits(device=None)
    whole = RealData(*there.split("train"))
    assert whole.bytes_in_memory == 1437 * 64 * 4
    one, other = (Batches(real, 64, 2, seed=3).of(11) for real in (stored, whole))
    assert isinstance(one[0], np.ndarray)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    for start in ("random", "k-center", "class-mean"):
        (ours, _), (theirs, _) = (start_images(real, [2] * 10, start, 3) for real in (stored, whole))
        np.testing.assert_array_equal(ours, theirs)
