"""A store as format 1 wrote it, kept for good: every later version must read it.

Nothing under ``golden/`` is ever written again; a new format gets a folder of its own.
"""

from pathlib import Path

import numpy as np
import pytest

from rcig_cli.store.arrays import read_arrays
from rcig_cli.store.checkpoints import latest
from rcig_cli.store.digests import mismatches
from rcig_cli.store.layout import open_store
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.results import read_results


@pytest.fixture(scope="module")
def golden():
    return open_store(Path(__file__).parent / "golden" / "format_1", create=False)


def test_the_data_set(golden):
    (manifest,) = golden.datasets().found
    assert (manifest.name, manifest.shape, manifest.sizes) == ("digits", (2, 2, 1), {"train": 6, "test": 2})
    assert mismatches(golden.dataset_path("digits"), manifest.files) == {}
    found = read_arrays(golden.dataset_path("digits") / "arrays.zarr")
    assert list(found) == ["test/images", "test/labels", "train/images", "train/labels"]
    np.testing.assert_array_equal(found["train/images"].ravel(), np.arange(24, dtype=np.float32))
    assert np.signbit(found["test/images"]).all()


def test_the_run(golden):
    (manifest,) = golden.runs().found
    assert (manifest.name, manifest.status, manifest.step) == ("run_1", "finished", 10)
    assert manifest.parents["dataset"]["digest"] == golden.dataset("digits").digest
    assert mismatches(golden.run_path("run_1"), manifest.files) == {}
    np.testing.assert_array_equal(
        read_arrays(golden.run_path("run_1") / "distilled.zarr")["labels"], np.eye(2)
    )


def test_what_lies_in_the_run(golden):
    path = golden.run_path("run_1")
    assert MetricsLog(path / "metrics.jsonl").read() == [{"step": 10, "loss": 0.5}]
    assert read_results(path, "evaluations").found == ({"accuracy": {"mean": 0.9}},)
    assert read_results(path, "attacks").found == ({"auc": 0.5},)


def test_the_checkpoint(golden):
    template = {"psi": np.zeros(4, np.float32), "pool": (np.uint32(0), [np.zeros(2, bool)])}
    restored = latest(golden.run_path("run_1"), template)
    assert (restored.step, restored.warnings) == (10, ())
    np.testing.assert_array_equal(restored.state["psi"], np.arange(4, dtype=np.float32))
    assert restored.state["pool"][0] == 3
    np.testing.assert_array_equal(restored.state["pool"][1][0], [True, False])
