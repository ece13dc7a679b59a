"""Outer steps on several devices, in one process or two, against the same steps on one device."""

from pathlib import Path

import numpy as np
import pytest

from tests.runs.engine.job import Job

STEPS = Path(__file__).with_name("steps.py")


def compute(folder, layout, subset, *counts, processes=1):
    """Run `steps.py` with eight devices in all; return the arrays for each number of devices."""
    folder.mkdir()
    arguments = (layout, subset, *counts)
    with Job(*arguments, folder, program=STEPS, count=processes, devices=8 // processes) as job:
        for index in range(processes):
            code, _, err = job.outcome(index, timeout=300)
            assert code == 0, err
    return [dict(np.load(folder / f"{count}.npz")) for count in counts]


def assert_close(found, expected):
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-9)
    for name in ("gradient", "pool"):
        error = np.linalg.norm(found[name] - expected[name]) / np.linalg.norm(expected[name])
        assert error < 1e-9, name


@pytest.mark.parametrize(
    ("layout", "subset", "counts"), [("loops", 0, (1, 2, 8)), ("unrolled", 0, (1, 8)), ("loops", 5, (1, 8))]
)
def test_the_meta_gradient_is_the_same_on_any_number_of_devices_and_processes(
    tmp_path, layout, subset, counts
):
    one, *others = compute(tmp_path / "alone", layout, subset, *counts)
    for found in others:
        assert_close(found, one)
    if not subset:
        [found] = compute(tmp_path / "together", layout, subset, 8, processes=2)
        assert_close(found, one)
