"""Benchmarks that need large machines, run at a tiny size; and the functions that they share."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import long_run
from benchmarks.measuring import short, straight_line, table
from benchmarks.on_gpu import SMALL

ROOT = Path(__file__).resolve().parents[2]
TINY, TINY_FLAGS = {**SMALL.settings, "ipc": 1, "solver": "cg"}, [*SMALL.flags, "--ipc=1", "--solver=cg"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Random 32 px images of ten classes, as CIFAR-10 comes."""
    path = tmp_path_factory.mktemp("data") / "cifar10.npz"
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (200, 32, 32, 3), np.uint8)
    classes = np.arange(200) % 10
    np.savez(path, x_train=images, y_train=classes, x_test=images[:50], y_test=classes[:50])
    return path


def on_gpu(data, out, minutes):
    command = [sys.executable, ROOT / "benchmarks" / "on_gpu.py", "--small"]
    command += ["--data", data, "--out", out, "--minutes", str(minutes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def everything(data, tmp_path_factory):
    """What the GPU's benchmark finds at a tiny size, and its folder."""
    out = tmp_path_factory.mktemp("on_gpu")
    return on_gpu(data, out, 10), out


def test_the_gpus_benchmark_comes_to_its_end(everything):
    found, out = everything
    assert found["complete"]
    for name in ("seconds_in_loop", "seconds_bare", "flop", "bytes_needed", "bytes_peak"):
        assert found["step 2 cg"][name] > 0
    assert found["run adam"]["step"] == found["run adam"]["steps"]
    assert found["evaluation adam"]["paper"] is None  # the data set does not have the published size
    written = (out / "on_gpu.md").read_text()
    assert "53.9" not in written
    assert found["rates"]["device"] in written
    assert json.loads((out / "on_gpu.json").read_text()) == found


def test_the_gpus_benchmark_does_nothing_twice_and_nothing_without_time(everything, data, tmp_path):
    found, out = everything
    again = on_gpu(data, out, 0)
    assert again | {"machine": None} == found | {"machine": None}
    assert on_gpu(data, tmp_path, 0).keys() == {"machine", "complete"}


def test_a_long_run_is_stopped_in_good_order_and_continued(everything, tmp_path):
    store, log = everything[1] / "store", tmp_path / "log"
    settings, flags = TINY | {"steps": 1_000_000}, [*TINY_FLAGS, "--steps=1000000"]
    reached, seconds = 0, 4.0
    while reached == 0:  # a sitting too short for a step, on a busy machine, says nothing
        seconds *= 2
        first = long_run.sit(store, settings, flags, seconds, log)
        reached = first.after
    second = long_run.sit(store, settings, flags, seconds, log)
    assert second.before == reached
    run = long_run.find(store, settings)
    assert run.step == second.after >= reached
    assert run.status == "interrupted"


def test_a_run_that_fails_is_an_error(everything, tmp_path):
    with pytest.raises(RuntimeError, match="ended with 2"):
        long_run.sit(
            everything[1] / "store", TINY | {"steps": 3}, ["--ipc=1", "--width=-1"], 60, tmp_path / "log"
        )


def test_a_straight_line_is_found():
    intercept, slope = straight_line([1, 2, 5], [3.0, 5.0, 11.0])
    assert intercept == pytest.approx(1)
    assert slope == pytest.approx(2)


def test_a_table_lines_up():
    assert table(["a", "bc"], [[1, "–"]]).splitlines() == ["| a | bc |", "|---|----|", "| 1 | –  |"]


@pytest.mark.parametrize(
    ("value", "said"), [(1234.5, "1230"), (0.01234, "0.0123"), (12.0, "12"), (99.96, "100")]
)
def test_numbers_are_short(value, said):
    assert short(value) == said


def test_a_preparation_is_measured_and_extrapolated(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "prepare.py", "--images=600", "--side=8"]
    command += ["--batch=16", "--no-decomposition", "--folder", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["run"]["train"], found["run"]["test"]) == (600, 24)
    assert found["run"]["bytes_images"] > 624 * 8 * 8 * 3
    assert found["extrapolated"]["train"] == 1_281_167
    pixels = 8 * 8 * 3 * 4 * (1_281_167 + 50_000) / 1e9
    assert 0.5 * pixels < found["extrapolated"]["gigabytes"] < 1.1 * pixels
    assert all(rate > 0 for rate in found["images_per_second"].values())
    assert "Extrapolated to 1281167 + 50000" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_reading_from_the_disk_is_measured(digits_run):
    command = [sys.executable, ROOT / "benchmarks" / "reading.py", "--store", digits_run]
    command += ["--dataset", "digits", "--batch", "32", "--width", "4", "--steps", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = [float(line.split("|")[2]) for line in done.stdout.splitlines()[2:]]
    assert len(seconds) == 3
    assert min(seconds) > 0


def test_the_error_of_the_meta_gradient_falls_with_the_iterations(digits_run):
    command = [sys.executable, ROOT / "benchmarks" / "solve_error.py", "digits", "--real", "1"]
    command += ["--store", digits_run, "--width", "4", "--age", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("|")[2].strip() for line in done.stdout.splitlines()[2:]]
    errors = [float(error) for error in rows[:-1]]
    assert len(errors) == 7
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1
