"""A signal ends the process of a command; all phases of all commands are in tests/slow/test_stopping.py."""

import signal

import numpy as np

from tests import stopping


def test_sigterm_while_a_thread_computes_in_lapack(tmp_path):
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 3100), ("test", 10)):
        arrays[f"x_{split}"] = random.integers(0, 256, (count, 32, 32, 3), np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 2
    np.savez(tmp_path / "own.npz", **arrays)
    command = ("prepare", "own", "--from", tmp_path / "own.npz", "--store", tmp_path / "a")
    process = stopping.start(tmp_path, "rcig_cli.runs.prepare.passes:fit_to", *command)
    _, code, err = stopping.stop(process, signal.SIGTERM, within=10)
    assert code == 143
    assert err.endswith("Run the same command again to resume.\n")


def test_ctrl_c_in_a_command_that_has_nothing_to_save(tmp_path, rcig):
    assert rcig("prepare", "digits", "--store", tmp_path / "a").code == 0
    phase = "rcig_cli.runs.housekeeping.verify:verify"
    process = stopping.start(tmp_path, phase, "verify", "--store", tmp_path / "a", hold=60)
    _, code, err = stopping.stop(process, signal.SIGINT, within=10)
    assert code == 130
    assert "Stopped." in err
