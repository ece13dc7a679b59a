"""Records of evaluations and attacks: never overwritten, read in order."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from rcig_cli.store import results


def test_a_record_comes_back(tmp_path):
    path = results.write_result(tmp_path, "evaluations", "convnet", {"accuracy": {"mean": 0.9}})
    assert path.parent == tmp_path / "evaluations"
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z-convnet\.json", path.name)
    assert results.read_results(tmp_path, "evaluations").found == ({"accuracy": {"mean": 0.9}},)
    assert results.read_results(tmp_path, "attacks").found == ()


def test_names_never_collide(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(
            pool.map(lambda i: results.write_result(tmp_path, "attacks", "mia", {"i": i}), range(40))
        )
    assert len(set(paths)) == 40
    found = results.read_results(tmp_path, "attacks").found
    assert sorted(record["i"] for record in found) == list(range(40))


def test_a_taken_name_is_left_alone(tmp_path, monkeypatch):
    from datetime import UTC, datetime

    times = [datetime(2025, 3, 1, microsecond=moment, tzinfo=UTC) for moment in (1, 1, 2)]

    class Clock:
        @staticmethod
        def now(_zone):
            return times.pop(0)

    monkeypatch.setattr(results, "datetime", Clock)
    first = results.write_result(tmp_path, "attacks", "mia", {"i": 0})
    second = results.write_result(tmp_path, "attacks", "mia", {"i": 1})
    assert (first.name, second.name) == (
        "20250301T000000.000001Z-mia.json",
        "20250301T000000.000002Z-mia.json",
    )
    assert [record["i"] for record in results.read_results(tmp_path, "attacks").found] == [0, 1]


def test_damage_hides_nothing_else(tmp_path):
    kept = results.write_result(tmp_path, "evaluations", "vgg", {"a": 1})
    (kept.parent / "0-broken.json").write_text("{")
    (kept.parent / "1-newer.json").write_text('{"format": 2}')
    listing = results.read_results(tmp_path, "evaluations")
    assert listing.found == ({"a": 1},)
    assert ["readable JSON" in listing.problems[0].message, "newer rcig" in listing.problems[1].message] == [
        True
    ] * 2


@pytest.mark.parametrize("label", ["", "..", "a/b", "a\0", ".hidden", "x" * 100])
def test_labels_that_are_no_part_of_a_name(tmp_path, label):
    with pytest.raises(ValueError, match="not a label"):
        results.write_result(tmp_path, "evaluations", label, {})
