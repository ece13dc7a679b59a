"""Verify while other processes write: nothing is called damaged."""

import signal
import subprocess
import sys
import time

from rcig_cli.runs.housekeeping.verify import verify
from tests.conftest import ROOT, TINY, start_rcig
from tests.silent import Silent

OVERWRITE = """
import sys
from pathlib import Path
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.store.store import open_store
from tests.silent import Silent
store = open_store(Path(sys.argv[1]), create=True)
while True:
    for resolution in (None, 10):
        prepare(store, "digits", resolution=resolution, report=Silent(), overwrite=True)
        print("again", flush=True)
"""


def check(root):
    return verify(root, (), Silent())


def test_a_data_set_that_is_replaced_again_and_again(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", OVERWRITE, tmp_path / "a"], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        process.stdout.readline()
        replaced, checks, ends = 1, 0, time.monotonic() + 8
        while time.monotonic() < ends:
            found = check(tmp_path / "a")
            assert found.of_kind("problem") == found.of_kind("orphan") == []
            checks += 1
        assert checks > 3
    finally:
        process.kill()
        replaced += process.communicate()[0].count(b"again")
    assert replaced > 3


def test_a_run_that_is_distilled_and_then_stopped(tmp_path):
    root = tmp_path / "a"
    run = ["distill", "--ipc", 1, *TINY, "--steps", 100_000, "--checkpoint-every", 1, "--store", root]
    process = start_rcig(*run)
    log, checks = root / "runs" / "run_1" / "metrics.jsonl", 0
    while process.poll() is None:
        if log.exists():
            found = check(root)
            assert found.of_kind("problem") == found.of_kind("orphan") == []
            checks += 1
            if checks == 15:
                process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    found = check(root)
    assert found.findings == ()
