"""The log of numbers: an incomplete last line is ignored, other damage is an error."""

import json
import os

import pytest

from rcig_cli.errors import Corrupt, RcigError
from rcig_cli.store.metrics import MetricsLog


@pytest.fixture
def log(tmp_path):
    with MetricsLog(tmp_path / "metrics.jsonl") as log:
        for step in (1, 2, 3):
            log.append({"step": step, "loss": 1 / step})
        yield log


def test_a_line_is_there_as_soon_as_it_is_appended(log):
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == log.read()
    assert log.read()[2] == {"step": 3, "loss": 1 / 3}


def test_no_file_is_no_records(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert log.read() == []
    log.truncate_after(3)
    assert not log.path.exists()


@pytest.mark.parametrize("torn", ['{"step": 4, "lo', "{", "\0" * 30])
def test_an_incomplete_last_line_is_ignored_and_then_removed(log, torn):
    with log.path.open("a") as stream:
        stream.write(torn)
    assert [record["step"] for record in log.read()] == [1, 2, 3]
    with MetricsLog(log.path) as again:
        again.append({"step": 4})
    assert [record["step"] for record in log.read()] == [1, 2, 3, 4]


def test_truncating_removes_later_steps_and_an_incomplete_line(log):
    with log.path.open("a") as stream:
        stream.write('{"step"')
    log.truncate_after(2)
    assert log.path.read_text() == '{"step": 1, "loss": 1.0}\n{"step": 2, "loss": 0.5}\n'
    log.append({"step": 3})
    assert [record["step"] for record in log.read()] == [1, 2, 3]


def test_damage_in_another_line_is_named(log):
    lines = log.path.read_text().splitlines()
    log.path.write_text("\n".join([lines[0], "{torn", lines[2], ""]))
    for read in (log.read, lambda: log.truncate_after(1)):
        with pytest.raises(Corrupt, match=r"line 2 of .*metrics\.jsonl is damaged"):
            read()


def test_numbers_that_json_lacks_become_null(log):
    log.append({"step": 4, "loss": float("nan"), "rates": (float("inf"), 1.0), "more": {"x": float("-inf")}})
    assert log.read()[-1] == {"step": 4, "loss": None, "rates": [None, 1.0], "more": {"x": None}}


def test_it_is_forced_to_the_disk_without_an_incomplete_line(tmp_path, monkeypatch):
    path, synced, sync = tmp_path / "metrics.jsonl", [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(path.read_bytes()) or sync(descriptor))
    with MetricsLog(path) as log:
        log.sync()
        assert not path.exists()
        log.append({"step": 1})
        log.sync()
    with path.open("ab") as torn:
        torn.write(b'{"step": 2')
    with MetricsLog(path) as again:
        again.sync()
    assert synced == [b'{"step": 1}\n'] * 2


def test_on_a_full_disk_an_incomplete_line_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.append({"step": 1})
        write = os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
            with pytest.raises(RcigError, match="disk is full"):
                log.append({"step": 2})
    assert path.read_bytes() == b'{"step": 1}\n'
