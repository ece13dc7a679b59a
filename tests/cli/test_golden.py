"""Stores and files that older versions wrote, used as a user uses them."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from rcig_cli.store.arrays import read_arrays
from tests.cli.test_errors import one_sentence
from tests.conftest import ROOT, start_rcig

GOLDEN = ROOT / "tests" / "store" / "golden"
JUDGED = ["--networks", 1, "--steps", 2, "--width", 2]


@pytest.fixture
def store(tmp_path):
    return shutil.copytree(GOLDEN / "format_1_sealed", tmp_path / "a")


@pytest.mark.parametrize("name", ["format_0", "format_1", "format_1_sealed"])
def test_each_is_listed_and_verified(rcig, name):
    assert rcig("verify", "--json", "--store", GOLDEN / name).json["problems"] == []
    listed = rcig("list", "--json", "--store", GOLDEN / name)
    assert (listed.code, listed.err) == (0, "")
    assert listed.json["runs"]


@pytest.mark.parametrize("run", ["run_1", "run_2", "handed"])
def test_a_run_is_shown_judged_drawn_and_handed_on(rcig, store, tmp_path, run):
    assert rcig("show", run, "--store", store).code == 0
    judged = rcig("evaluate", run, *JUDGED, "--json", "--store", store)
    assert 0 <= judged.json["evaluations"][0]["accuracy"]["mean"] <= 1
    drawn = ["--grid", "--labels", *([] if run == "handed" else ["--curves", "--animate"])]
    files = rcig("visualize", run, *drawn, "--json", "--store", store).json["files"]
    assert len(files) == len(drawn)
    assert rcig("export", run, "--out", tmp_path / "out.npz", "--store", store).code == 0
    assert rcig("verify", run, "--json", "--store", store).json["problems"] == []


def test_a_sweep_is_shown(rcig, store):
    shown = rcig("show", "sweep_1", "--store", store)
    assert shown.code == 0
    assert "inner_steps 2: " in shown.out


def test_what_was_measured_is_still_there(rcig, store):
    shown = rcig("show", "run_1", "--json", "--store", store).json
    assert shown["evaluations"][0]["accuracy"]["values"]
    assert rcig("compare", "run_1", "run_6", "--json", "--store", store).code == 0
    assert rcig("report", "run_1", "--store", store).code == 0


def test_an_imported_run_is_compared_by_what_is_known_of_it(rcig, store):
    found = rcig("compare", "run_1", "handed", "--json", "--store", store).json["differences"]
    assert set(found) <= {"dataset", "ipc"}
    with_another = rcig("compare", "run_1", "handed", "run_6", "--json", "--store", store).json["differences"]
    own = set(with_another) - {"dataset", "ipc"}
    assert own
    assert all(with_another[name][1] is None for name in own)


def test_many_notes_that_say_the_same_are_counted(rcig):
    old = GOLDEN / "format_1"
    notes = rcig("verify", "--json", "--store", old).json["notes"]
    unsealed = [one for one in notes if "no digest of its own" in one["note"]]
    lines = [line for line in rcig("verify", "--store", old).out.splitlines() if line.startswith("note: ")]
    shown = [line for line in lines if "no digest of its own" in line]
    assert len(unsealed) > len(shown) == 3
    assert f"note: {len(unsealed) - 3} more like this one (--json names them all)" in lines


@pytest.mark.parametrize("run", ["run_3", "run_4"])  # stopped, and killed
def test_an_unfinished_run_goes_on(store, run):
    log = store / "runs" / run / "metrics.jsonl"
    before = log.read_bytes()
    manifest = json.loads((store / "runs" / run / "manifest.json").read_text())
    process = start_rcig("distill", "--resume", run, "--store", store)
    while process.poll() is None and log.stat().st_size < len(before) + 1000:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 143, out + err
    now = json.loads((store / "runs" / run / "manifest.json").read_text())
    assert now["step"] > manifest["step"]
    # What it had vouched for stands, and was not computed again.
    assert log.read_bytes()[: manifest["log"]["bytes"]] == before[: manifest["log"]["bytes"]]


FILES = ["run_1.npz", "run_1.safetensors", "run_1-parquet", "run_1-png"]


@pytest.mark.parametrize("name", FILES)
def test_an_exported_file_comes_back(rcig, store, name):
    outcome = rcig("import", GOLDEN / "exported_1" / name, "--dataset", "shapes", "--name", "again",
                   "--json", "--store", store)  # fmt: skip
    assert outcome.code == 0, outcome.err
    ours, theirs = (read_arrays(store / "runs" / run / "distilled.zarr") for run in ("again", "run_1"))
    if name.endswith("png"):
        assert ours["images"].shape == theirs["images"].shape
    else:
        assert {key: array.tobytes() for key, array in ours.items()} == {
            key: array.tobytes() for key, array in theirs.items()
        }


def newer(name, folder, number):
    """The exported file as a later version may write it."""
    path = folder / name
    if name.endswith("npz"):
        with np.load(GOLDEN / "exported_1" / name) as stored:
            np.savez(path, **{**stored, "rcig_format": np.array(number)})
    elif name.endswith("safetensors"):
        with safe_open(GOLDEN / "exported_1" / name, framework="numpy") as stored:
            arrays = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            save_file(arrays, path, metadata={**stored.metadata(), "rcig_format": str(number)})
    else:
        import pyarrow.parquet

        shutil.copytree(GOLDEN / "exported_1" / name, path)
        (file,) = (path / "data").iterdir()
        table = pyarrow.parquet.read_table(file)
        metadata = {**table.schema.metadata, b"rcig_format": str(number).encode()}
        pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)
    return path


@pytest.mark.parametrize(
    ("number", "said"), [(2, "newer rcig (format 2)"), ("x", "is damaged: its rcig_format")]
)
@pytest.mark.parametrize("name", FILES[:3])
def test_an_exported_file_of_a_newer_format_is_refused(rcig, store, tmp_path, name, number, said):
    path = newer(name, tmp_path, number)
    one_sentence(rcig("import", path, "--dataset", "shapes", "--store", store), 5, said)
