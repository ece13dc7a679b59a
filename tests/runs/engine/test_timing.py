"""The time of a step: the median of what was between reports, and kept with the run."""

import pytest

from rcig_cli.runs.engine import timing
from rcig_cli.runs.engine.timing import Stopwatch, timing_of
from tests.silent import Silent


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""
    times = [0.0]
    monkeypatch.setattr(timing.time, "monotonic", lambda: times[0])

    def set_to(moment):
        times[0] = moment

    return set_to


def reported(stopwatch, clock, *reports):
    for moment, step in reports:
        clock(moment)
        stopwatch.progress("distilling", step, 100)


def test_compilation_and_one_slow_stretch_do_not_count(clock, tmp_path):
    stopwatch = Stopwatch(Silent())
    reported(stopwatch, clock, (30, 1), (31, 11), (32, 21), (60, 31), (61, 41))
    assert stopwatch.milliseconds == pytest.approx(100)
    stopwatch.keep(tmp_path)
    kept = timing_of(tmp_path)
    assert (kept.milliseconds, kept.seconds) == (pytest.approx(100), pytest.approx(61))


def test_pieces_count_by_their_steps(clock, tmp_path):
    for reports in (((0, 1), (1, 11)), ((1, 12), (7, 42))):
        stopwatch = Stopwatch(Silent())
        reported(stopwatch, clock, *reports)
        stopwatch.keep(tmp_path)
    assert timing_of(tmp_path).milliseconds == pytest.approx((10 * 100 + 30 * 200) / 40)
    assert timing_of(tmp_path).seconds == pytest.approx(7)


def test_a_run_reported_once_has_its_own_rate():
    stopwatch = Stopwatch(Silent())
    stopwatch.progress("distilling", 5, 5, {"steps/s": 50.0})
    assert stopwatch.milliseconds == pytest.approx(20)


def test_nothing_measured_is_nothing_kept(tmp_path):
    Stopwatch(Silent()).keep(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert timing_of(tmp_path) is None
