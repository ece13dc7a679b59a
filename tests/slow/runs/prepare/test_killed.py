"""Preparations whose process is killed resume to the same bytes, in memory that is bounded."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runs.prepare.test_prepare import left, product

ROOT = Path(__file__).resolve().parents[4]
CHILD = ROOT / "tests" / "runs" / "prepare" / "prepare_child.py"


def finish(store, **case):
    """Run a preparation in a process; return its exit code, and what it printed last or its errors."""
    done = subprocess.run(
        [sys.executable, CHILD, store, json.dumps(case)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    store = tmp_path_factory.mktemp("uninterrupted") / "a"
    code, found = finish(store, save_every=1e9)
    assert code == 0, found
    assert left(store) == []
    return product(store)


# Some 10 blocks are measured and 18 batches written; each is followed by a save.
@pytest.mark.parametrize(
    "kill",
    [("progress", n) for n in (2, 11, 30)]
    + [("sync", n) for n in (15, 180)]
    + [("publish", 1)]
    + [("save", n) for n in (2, 12)],
    ids=lambda kill: "-".join(map(str, kill)),
)
def test_a_killed_preparation_resumes_to_the_same_bytes(tmp_path, uninterrupted, kill):
    code, _ = finish(tmp_path / "a", kill=kill)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "a/datasets/generated").exists()
    code, found = finish(tmp_path / "a")
    assert code == 0, found
    assert product(tmp_path / "a") == uninterrupted
    assert left(tmp_path / "a") == []


def test_one_killed_again_and_again_repeats_little(tmp_path, uninterrupted):
    store, kills = tmp_path / "a", 0
    while (result := finish(store, kill=("progress", 7)))[0] == -signal.SIGKILL:
        kills += 1
        assert kills < 20
    assert result[0] == 0, result[1]
    assert kills >= 4
    assert product(store) == uninterrupted


def test_a_damaged_shard_starts_over(tmp_path, uninterrupted):
    store = tmp_path / "a"
    assert finish(store, kill=("progress", 20))[0] == -signal.SIGKILL
    shard = store / "datasets/.partial-generated/content/arrays.zarr/train/images/c/0"
    shutil.rmtree(shard)
    code, found = finish(store)
    assert code == 0, found
    assert product(store) == uninterrupted


@pytest.mark.parametrize("moment", ["replace", "replaced"])
def test_killed_just_before_or_after_it_replaces_a_data_set(tmp_path, uninterrupted, moment):
    """Just after, the old set is where the new one was made, and must not be published in its place."""
    store = tmp_path / "a"
    assert finish(store, save_every=1e9, config={"zca_reg": 0.5})[0] == 0
    old = product(store)
    code, _ = finish(store, save_every=1e9, overwrite=True, kill=(moment, 1))
    assert code == -signal.SIGKILL
    assert product(store) == (old if moment == "replace" else uninterrupted)
    code, found = finish(store, save_every=1e9, overwrite=True)
    assert code == 0, found
    assert product(store) == uninterrupted
    assert left(store) == []


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """With ten times as many images (110 MB more when written), the peak memory grows by less than 25 MB."""
    peaks = []
    for count in (4_000, 40_000):
        source, pieces = {"train": count, "side": 16}, [2**16, 2**20]
        code, found = finish(tmp_path / str(count), save_every=1e9, source=source, pieces=pieces)
        assert code == 0, found
        peaks.append(found["peak"])
    assert 36_000 * 16 * 16 * 3 * 4 > 100e6
    assert peaks[1] - peaks[0] < 25e6


MEMORY = """
import numpy as np
from tests.data.examples import fit
from tests.runs.prepare.prepare_child import peak_bytes

def peak(side, count):
    fit(np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8), zca=True)
    return peak_bytes()

before = peak(4, 100)
print(peak(22, 1500) - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's peak is read as Linux gives it")
def test_a_whitening_takes_five_matrices_of_memory():
    """With 12 288 dimensions (64 RGB pixels) that is 6 GB: the covariance and four matrices for LAPACK."""
    matrix = (22 * 22 * 3) ** 2 * 8
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, check=False, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert 4 * matrix < int(done.stdout) < 6 * matrix
