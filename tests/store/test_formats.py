"""Stores as each format wrote them, kept for good: every later version must read them.

Nothing under ``golden/`` is ever written again; a new format gets a folder of its own.

``format_1`` is from before documents had a digest of their own, ``format_1_sealed`` from after, with every
kind of artifact, as the commands wrote it.  ``format_0`` says what ``format_1`` says, in a format made up to
have one to migrate.  ``tests/cli/test_golden.py`` uses them as a user does.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rcig_cli.errors import Corrupt
from rcig_cli.store.arrays import read_arrays
from rcig_cli.store.checkpoint_manifest import read_checkpoint_manifest
from rcig_cli.store.checkpoints import latest
from rcig_cli.store.digests import mismatches
from rcig_cli.store.documents import canonical
from rcig_cli.store.layout import open_store
from rcig_cli.store.manifest import write_manifest
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.migrations import current, read_current
from rcig_cli.store.results import read_results, write_result
from rcig_cli.store.seals import flaw

GOLDEN = Path(__file__).parent / "golden"
TEMPLATE = {"psi": np.zeros(4, np.float32), "pool": (np.uint32(0), [np.zeros(2, bool)])}


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


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def old(tmp_path):
    """A copy of the store of format 0."""
    return open_store(shutil.copytree(GOLDEN / "format_0", tmp_path / "a"), create=False)


def test_format_0_says_what_format_1_says(golden, old):
    before = contents(old.root)
    assert old.datasets().found == golden.datasets().found
    run = golden.run("run_1")
    assert old.runs().found == (replace(run, config={**run.config, "seed": run.seed}),)
    assert old.run("run_1").parents["dataset"]["digest"] == old.dataset("digits").digest
    assert old.sweep("sweep_1").parents == old.run("run_1").parents
    assert read_results(old.run_path("run_1"), "evaluations").found == ({"accuracy": {"mean": 0.9}},)
    assert read_results(old.run_path("run_1"), "attacks").found == ({"auc": 0.5},)
    checkpoint = Path("checkpoints") / "10"
    assert read_checkpoint_manifest(old.run_path("run_1") / checkpoint) == read_checkpoint_manifest(
        golden.run_path("run_1") / checkpoint
    )
    restored = latest(old.run_path("run_1"), TEMPLATE)
    np.testing.assert_array_equal(restored.state["psi"], np.arange(4, dtype=np.float32))
    assert contents(old.root) == before  # reading writes nothing


def test_format_0_is_written_as_format_1_when_it_is_next_written(old):
    run = old.run("run_1")
    write_manifest(old.run_path("run_1"), run)
    written = (old.run_path("run_1") / "manifest.json").read_bytes()
    document = json.loads(written)
    assert (document["format"], flaw(written, document)) == (1, None)
    assert old.run("run_1") == run
    path = write_result(old.run_path("run_1"), "evaluations", "more", {"accuracy": 1})
    assert json.loads(path.read_text())["format"] == 1
    assert json.loads((old.root / "store.json").read_text())["format"] == 0  # the rest stays as it is


@pytest.mark.parametrize("kind", ["dataset", "run", "sweep", "checkpoint"])
@pytest.mark.parametrize("document", [{}, {"config": 3, "finished": 1}, {"leaves": [3]}, {"leaves": [["a"]]}])
def test_what_is_not_as_format_0_had_it_is_damaged(tmp_path, kind, document):
    with pytest.raises(Corrupt, match="it isn't as format 0 has it"):
        current({**document, "format": 0}, tmp_path / "manifest.json", kind)


@pytest.mark.parametrize("kind", ["store", "dataset", "run", "sweep", "checkpoint", "result"])
@pytest.mark.parametrize(
    ("number", "sentence"), [(2, "newer rcig .format 2.*Upgrade"), (-1, "its format is -1")]
)
def test_every_kind_of_a_format_that_is_not_known_is_refused(tmp_path, kind, number, sentence):
    (tmp_path / "it.json").write_text(canonical({"format": number}))
    with pytest.raises(Corrupt, match=sentence):
        read_current(tmp_path / "it.json", kind)


def test_every_kind_of_artifact_is_in_the_sealed_store():
    store = open_store(GOLDEN / "format_1_sealed", create=False)
    listings = store.datasets(), store.runs(), store.sweeps()
    assert [len(listing.found) for listing in listings] == [1, 8, 1]
    assert all(not listing.problems for listing in listings)
    for run in store.runs().found:
        path = store.run_path(run.name)
        assert mismatches(path, run.files) == {}
        records = MetricsLog(path / "metrics.jsonl").read()
        assert [record["step"] for record in records] == list(range(1, len(records) + 1))
        for name in {file.split("/")[0] for file in run.files}:
            assert all(array.size for array in read_arrays(path / name).values())
    assert len(read_arrays(store.dataset_path("shapes") / "arrays.zarr")) > 4
    kept = {
        kind: len(read_results(store.run_path("run_1"), kind).found) for kind in ("evaluations", "attacks")
    }
    assert kept == {"evaluations": 1, "attacks": 1}
    assert len(read_results(store.run_path("run_6"), "timings").found) == 1
    assert len(read_checkpoint_manifest(store.run_path("run_3") / "checkpoints" / "42")["leaves"]) > 20
