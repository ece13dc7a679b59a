"""What stands in the place of a file or a folder: pipes, devices, links, and files that have no end."""

import os
import socket

import pytest

from rcig_cli.errors import Corrupt, RcigError
from rcig_cli.store import checkpoints
from rcig_cli.store.array_writer import ArrayWriter
from rcig_cli.store.digests import mismatches, sha256_of_file
from rcig_cli.store.documents import read_document
from rcig_cli.store.locks import RunLock
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.results import write_result

READERS = [read_document, sha256_of_file, lambda path: MetricsLog(path).read(),
           lambda path: MetricsLog(path).append({"step": 1})]  # fmt: skip


def pipe(path):
    os.mkfifo(path)


def listening(path):
    server = socket.socket(socket.AF_UNIX)
    old = os.open(".", os.O_RDONLY)
    try:  # a socket's path is short
        os.chdir(path.parent)
        server.bind(path.name)
    finally:
        os.fchdir(old)
        os.close(old)
        server.close()


STRANGE = {
    "pipe": pipe,
    "socket": listening,
    "folder": lambda path: path.mkdir(),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("reader", READERS, ids=["document", "digest", "log", "appending"])
@pytest.mark.parametrize("kind", STRANGE)
def test_nothing_is_read_but_plain_files(tmp_path, kind, reader):
    STRANGE[kind](tmp_path / "file")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(RcigError):
        reader(tmp_path / "file")
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("kind", STRANGE)
def test_a_digest_finds_what_is_no_file(tmp_path, kind):
    STRANGE[kind](tmp_path / "file")
    assert list(mismatches(tmp_path, {"file": "0" * 64})) == ["file"]


def test_a_file_of_a_terabyte_is_refused_before_memory_is_taken(tmp_path):
    for reader in (read_document, lambda path: MetricsLog(path).read()):
        with (tmp_path / "file").open("wb") as stream:
            stream.truncate(2**40)
        with pytest.raises(Corrupt, match="larger than any"):
            reader(tmp_path / "file")


def test_a_log_is_not_written_through_a_link(tmp_path):
    (tmp_path / "outside").write_bytes(b"precious, without a newline")
    (tmp_path / "metrics.jsonl").symlink_to("outside")
    with pytest.raises(RcigError), MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.append({"step": 1})
    assert (tmp_path / "outside").read_bytes() == b"precious, without a newline"


@pytest.mark.parametrize("kind", STRANGE)
def test_a_lock_that_is_no_file_is_not_taken(tmp_path, kind):
    STRANGE[kind](tmp_path / "lock")
    with pytest.raises(RcigError):
        RunLock(tmp_path)


def test_no_checkpoint_is_written_or_removed_through_a_link(tmp_path):
    run, outside = tmp_path / "run_1", tmp_path / "outside"
    for folder in (run, outside / "2024", outside / ".aside-0"):
        folder.mkdir(parents=True)
    (run / "checkpoints").symlink_to(outside)
    with pytest.raises(Corrupt, match="isn't a plain folder"):
        checkpoints.save(run, 1, {})
    with pytest.raises(Corrupt, match="isn't a plain folder"):
        checkpoints.prune(run, 1)
    assert sorted(os.listdir(outside)) == [".aside-0", "2024"]


def test_no_measurement_is_written_through_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "evaluations").symlink_to("outside")
    with pytest.raises(Corrupt, match="isn't a plain folder"):
        write_result(tmp_path, "evaluations", "convnet", {})
    assert os.listdir(tmp_path / "outside") == []


def test_no_array_goes_on_through_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "letters").touch()
    (tmp_path / "a.zarr").symlink_to("outside")
    with pytest.raises(Corrupt, match="isn't a plain folder"):
        ArrayWriter.resume(tmp_path / "a.zarr", {}, {})
    assert os.listdir(tmp_path / "outside") == ["letters"]
