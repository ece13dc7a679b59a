"""SIGINT and SIGTERM end every command in every phase that takes long."""

import shutil
import signal

import numpy as np
import pytest

from tests import stopping
from tests.conftest import TINY

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143}
LONG = ["--steps", 100_000]
DISTILL = ["distill", "digits", "--ipc", 1, *TINY, *LONG]
PASSES, RUN_LOOP = "rcig_cli.runs.prepare.passes", "rcig_cli.runs.distill.run_loop"
PIXELS = "rcig_cli.data.whitening.whitening:Whitening.pixels"

# Command, function that is called as the phase begins, seconds that its first call sleeps for, and seconds
# after which the signal is sent.  Phases without a sleep take long by themselves, in a library.
PHASES = {
    "prepare, measuring": (["prepare", "large", "--from", "LARGE"], f"{PASSES}:block_of", 0, 0.5),
    "prepare, whitening": (["prepare", "large", "--from", "LARGE"], f"{PASSES}:fit_to", 0, 3),
    "prepare, writing": (
        ["prepare", "digits", "--overwrite", "--zca"],
        "rcig_cli.data.whitening.whitening:Whitening.apply",
        60,
        0.5,
    ),
    "distill, compiling": (DISTILL, f"{RUN_LOOP}:RunLoop.restore_or_start", 0, 4),
    "distill, tuning": ([*DISTILL, "--solver", "adam"], f"{RUN_LOOP}:RunLoop._tuned", 0, 4),
    "distill, steps": (DISTILL, "rcig_cli.store.metrics:MetricsLog.append", 0, 1),
    "evaluate, compiling": (
        ["evaluate", "run_1", *LONG],
        "rcig_cli.runs.evaluate.evaluate:make_measurement",
        0,
        2,
    ),
    "evaluate, training": (
        ["evaluate", "run_1", *LONG],
        "rcig_cli.runs.evaluate.evaluate:make_measurement",
        0,
        20,
    ),
    "mia": (["mia", "run_1", *LONG], "rcig_cli.runs.membership.attack:Attacker.__init__", 0, 10),
    "sweep": (["sweep", "PLAN"], "rcig_cli.store.metrics:MetricsLog.append", 0, 1),
    "continual": (
        ["continual", *["digits", "--ipc", "1", "--width", "4", "--batch", "64", "--steps", "100000"]],
        "rcig_cli.store.metrics:MetricsLog.append",
        0,
        1,
    ),
    "export": (["export", "run_1", "--out", "OUT"], PIXELS, 60, 0.5),
    "import": (
        ["import", "SET", "--dataset", "digits"],
        "rcig_cli.runs.exchange.importing:_digest",
        60,
        0.5,
    ),
    "visualize": (["visualize", "run_1", "--animate"], PIXELS, 60, 0.5),
    "report": (["report", "run_1"], PIXELS, 60, 0.5),
    "verify": (["verify"], "rcig_cli.runs.housekeeping.verify:verify", 60, 0.5),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory, digits_run):
    """Inputs of the commands: 5000 images of 40 x 40 pixels, a plan of a sweep, an exported set."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 5000), ("test", 10)):
        arrays[f"x_{split}"] = random.integers(0, 256, (count, 40, 40, 3), np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % 2
    np.savez(folder / "large.npz", **arrays)
    (folder / "plan.toml").write_text(
        'dataset = "digits"\nipc = 1\nwidth = 4\nbatch = 64\nsteps = 100000\n[[sweep]]\nseed = [0, 1]\n'
    )
    labels = np.eye(10, dtype=np.float32) - 0.1
    np.savez(folder / "set.npz", images=np.zeros((10, 8, 8, 1), np.uint8), labels=labels)
    return {
        "LARGE": folder / "large.npz",
        "PLAN": folder / "plan.toml",
        "SET": folder / "set.npz",
        "OUT": folder / "out.npz",
        "store": shutil.copytree(digits_run, folder / "store"),
    }


def started(files, folder, name):
    command, phase, hold, delay = PHASES[name]
    words = [files.get(word, word) if isinstance(word, str) else word for word in command]
    store = folder / "store" if "large" in words else files["store"]
    return stopping.start(folder, phase, *words, "--store", store, hold=hold), delay


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("name", PHASES)
def test_a_signal_ends_the_command(files, tmp_path, name, number):
    process, delay = started(files, tmp_path, name)
    seconds, code, err = stopping.stop(process, number, within=30, delay=delay)
    assert code == SIGNALS[number], err
    assert "Stopped" in err
    assert "Traceback" not in err
    print(f"{name}: {seconds:.1f} s after {number.name}")


@pytest.mark.parametrize("name", ["prepare, whitening", "distill, compiling", "evaluate, compiling"])
def test_a_second_signal_ends_it_at_once(files, tmp_path, name):
    process, delay = started(files, tmp_path, name)
    seconds, code, _ = stopping.stop(process, signal.SIGINT, signal.SIGINT, within=20, delay=delay)
    assert code == 130
    assert seconds < 1.3 + 1.5
