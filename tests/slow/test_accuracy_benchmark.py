"""The benchmark of seconds to an accuracy: its tables, and a whole run at a tiny size."""

import json
import subprocess
import sys
from math import inf
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import Course, marks_table, panel, stops

ROOT = Path(__file__).resolve().parents[2]
COURSE = Course(12.0, [0, 10, 100], [0.0, 3.0, 33.0], [[0.1, 0.3], [0.3, 0.3], [0.5, 0.7]])


def test_the_time_to_an_accuracy_is_interpolated_between_evaluations():
    assert COURSE.seconds_to(0.2) == 0
    assert COURSE.seconds_to(0.25) == pytest.approx(1.5)
    assert COURSE.seconds_to(0.3) == pytest.approx(3)
    assert COURSE.seconds_to(0.4) == pytest.approx(13)
    assert COURSE.seconds_to(0.61) == inf


def test_the_first_time_counts_where_the_accuracy_falls_again():
    falling = Course(1.0, [0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0], [[0.1], [0.5], [0.2], [0.6]])
    assert falling.seconds_to(0.3) == pytest.approx(0.5)


def test_evaluations_are_spaced_geometrically_up_to_the_last_step():
    assert stops(10_000, 5) == [100, 316, 1000, 3162, 10_000]
    assert stops(3, 10) == [2, 3]
    assert stops(1, 10) == [1]


def test_the_table_has_medians_over_the_seeds():
    fast = Course(2.0, [0, 10], [0.0, 9.0], [[0.1], [0.7]])
    never = Course(4.0, [0, 10], [0.0, 9.0], [[0.1], [0.2]])
    of_one = marks_table({"a": [COURSE]}, (30, 99)).splitlines()[2]
    assert [cell.strip() for cell in of_one.split("|")[1:-1]] == [
        *("a", "3 / 15", "–", "60.0 (60.0)", "33 s", "333", "12"),
    ]
    of_three = marks_table({"b": [fast, COURSE, never]}, (40,)).splitlines()[2]
    assert "13 / 25" in of_three
    assert "–" in marks_table({"b": [COURSE, never, never]}, (40,))


def test_several_seeds_are_drawn_as_their_mean_and_deviation():
    other = Course(1.0, [0, 10, 100], [0.0, 3.0, 33.0], [[0.2], [0.5], [0.8]])
    (series,) = panel({"a": [COURSE, other]}, "cifar10").series
    assert (series.x[0], series.x[-1]) == pytest.approx((3, 33))
    assert (series.y[0], series.y[-1]) == pytest.approx((40, 70))
    assert (series.error[0], series.error[-1]) == pytest.approx((10, 10))


def benchmark(data, out):
    command = [sys.executable, ROOT / "benchmarks" / "accuracy.py", "--data", data, "--out", out]
    command += ["--dataset", "cifar10", "--settings", "frepo", "rfad", "--width=4", "--batch=32"]
    command += ["--minutes=0.01", "--evaluations=3", "--networks=1", "--training-steps=5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_a_benchmark_measures_each_case_once(tmp_path):
    random = np.random.default_rng(0)
    images, classes = random.integers(0, 256, (200, 32, 32, 3), np.uint8), np.arange(200) % 10
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    np.savez(data / "cifar10.npz", x_train=images, y_train=classes, x_test=images[:50], y_test=classes[:50])
    first = benchmark(data, out)
    assert "s to 45 %" in first.stdout
    written = json.loads((out / "accuracy.json").read_text())
    assert [one["case"]["settings"] for one in written] == ["frepo", "rfad"]
    for one in written:
        course = Course.of(one)
        assert one["complete"]
        assert course.steps[-1] == one["config"]["steps"] >= 2
        assert course.compilation > 0
        assert (np.diff(course.seconds) > 0).all()
        assert [len(each) for each in course.accuracies] == [1] * len(course.steps)
    assert (out / "accuracy.png").read_bytes().startswith(b"\x89PNG")
    # A finished case is not run again; an unfinished one is.
    (interrupted,) = out.glob("*rfad*.json")
    interrupted.write_text(json.dumps(written[1] | {"complete": False}))
    second = benchmark(data, out)
    assert "cifar10, rfad" in second.stderr
    assert "cifar10, frepo" not in second.stderr
