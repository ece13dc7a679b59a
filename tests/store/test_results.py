"""Records of measurements: never overwritten, read in order."""

import re
from datetime import UTC, datetime

import pytest

from rcig_cli.errors import NotFound
from rcig_cli.store import results


@pytest.fixture
def run_path(tmp_path):
    (tmp_path / "run_1").mkdir()
    return tmp_path / "run_1"


def test_a_record_comes_back(run_path):
    path = results.write_result(run_path, "evaluations", "convnet", {"accuracy": {"mean": 0.9}})
    assert path.parent == run_path / "evaluations"
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-convnet\.json", path.name)
    assert results.read_results(run_path, "evaluations").found == ({"accuracy": {"mean": 0.9}},)
    assert results.read_results(run_path, "attacks").found == ()


def test_an_existing_file_is_not_overwritten(run_path, monkeypatch):
    times = [datetime(2025, 3, 1, microsecond=moment, tzinfo=UTC) for moment in (1, 1, 2)]

    class Clock:
        @staticmethod
        def now(_zone):
            return times.pop(0)

    monkeypatch.setattr(results, "datetime", Clock)
    names = [results.write_result(run_path, "attacks", "mia", {"i": i}).name for i in (0, 1)]
    assert names == ["20250301T000000.000001Z-mia.json", "20250301T000000.000002Z-mia.json"]
    assert [record["i"] for record in results.read_results(run_path, "attacks").found] == [0, 1]


def test_a_damaged_record_does_not_hide_the_others(run_path):
    kept = results.write_result(run_path, "evaluations", "vgg", {"a": 1})
    (kept.parent / "0-broken.json").write_text("{")
    (kept.parent / "1-newer.json").write_text('{"format": 2}')
    listing = results.read_results(run_path, "evaluations")
    assert listing.found == ({"a": 1},)
    assert ["readable JSON" in listing.problems[0], "newer rcig" in listing.problems[1]] == [True] * 2


def test_a_removed_run_is_not_made_again(tmp_path):
    with pytest.raises(NotFound):
        results.write_result(tmp_path / "run_9", "evaluations", "vgg", {})
    assert not (tmp_path / "run_9").exists()
