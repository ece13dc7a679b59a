"""JSON that parses and says what can't be: each was once let through by something."""

import json

import pytest

from rcig_cli.errors import Corrupt
from rcig_cli.store.checks import natural
from rcig_cli.store.documents import parse, read_document
from rcig_cli.store.manifest import RunManifest
from rcig_cli.store.names import is_inner_path, natural_key


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400"])
def test_numbers_that_json_has_not(number):
    """Once read, such a document could never be written again."""
    with pytest.raises(Corrupt, match=r"isn't readable JSON .*no number of JSON"):
        parse(f'{{"a": [{number}]}}'.encode(), "it")


def test_finite_numbers_are_read_as_they_are():
    text = '{"a": [1.5, -0.0, 1e308, 5e-324, 12345678901234567890]}'
    assert parse(text.encode(), "it") == json.loads(text)


@pytest.mark.parametrize("number", [2**63, 10**400, -1, True, 1.0, "1", None])
def test_what_counts_nothing(number, run_manifest, tmp_path):
    assert not natural.holds(number)
    with pytest.raises(Corrupt, match="'step' must be a whole number"):
        RunManifest.from_json({**run_manifest().to_json(), "step": number}, tmp_path)


def test_the_largest_count():
    assert natural.holds(2**63 - 1)


@pytest.mark.parametrize("path", ["\ud800", "a/\udfff.json"[:3] + "\ud801"])
def test_a_path_that_no_file_can_have(path):
    """Python can't hand it to the system: a UnicodeEncodeError."""
    assert not is_inner_path(path)


def test_names_of_thousands_of_digits_sort():
    """Python refuses to read so long a number."""
    names = ["run_" + "9" * 5000, "run_10", "run_2", "run_" + "1" * 5001, "run_007", "run_7"]
    assert sorted(names, key=natural_key) == [
        "run_2", "run_007", "run_7", "run_10", "run_" + "9" * 5000, "run_" + "1" * 5001,
    ]  # fmt: skip


def test_a_document_nested_by_the_thousand(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a":' * 100_000)
    with pytest.raises(Corrupt, match="isn't readable JSON"):
        read_document(tmp_path / "a.json")
