"""A run that is stopped again and again, at random moments, gives what an undisturbed run gives.

``RCIG_SOAK_STEPS`` is the length of the run; ``RCIG_SOAK_SEED`` repeats the moments of an earlier test.
"""

import json
import os
import random
import signal
import time
from collections import Counter

from tests.conftest import TINY, start_rcig
from tests.slow.faults.inspection import difference, problems, tree

STEPS = int(os.environ.get("RCIG_SOAK_STEPS", "3000"))
RUN = ["distill", "digits", "--ipc", "1", *TINY, "--steps", str(STEPS), "--checkpoint-every", "20"]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WEIGHTS = (6, 1, 1)
LONGEST = 6.0  # seconds from the first new step to the signal
STARTING = 4.0  # seconds after the start in which some are stopped


def finish(*arguments):
    process = start_rcig(*arguments)
    out, err = process.communicate()
    assert process.returncode == 0, out + err


def manifest(store):
    path = store / "runs/run_1/manifest.json"
    return json.loads(path.read_text()) if path.exists() else {"status": "none", "step": 0}


def wait_for_a_step(store, process):
    """Wait until the metrics file has changed, or the process has ended."""
    path = store / "runs/run_1/metrics.jsonl"
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
        time.sleep(0.01)


def resume_for_a_while(store, chance):
    """Resume the run, and stop it after a while; return the signal, or None if the run was finished."""
    process = start_rcig(*RUN, "--resume", "--store", store)
    if chance.random() < 0.75:
        wait_for_a_step(store, process)
        time.sleep(chance.uniform(0, LONGEST))
    else:
        time.sleep(chance.uniform(0, STARTING))
    number = chance.choices(SIGNALS, WEIGHTS)[0]
    process.send_signal(number)
    _, err = process.communicate()
    assert "Traceback" not in err, err
    # A signal that arrives before its handler is installed ends the process by the signal itself.
    assert process.returncode in (0, -number, 128 + number), err
    return number if process.returncode else None


def test_a_run_stopped_at_random_moments_gives_the_same_bytes(tmp_path):
    seed = int(os.environ.get("RCIG_SOAK_SEED", random.SystemRandom().randrange(2**32)))
    print(f"\nRCIG_SOAK_SEED={seed} RCIG_SOAK_STEPS={STEPS}")
    store, alone = tmp_path / "disturbed", tmp_path / "alone"
    for each in (store, alone):
        finish("prepare", "digits", "--store", each)
    began = time.monotonic()
    finish(*RUN, "--store", alone)
    print(f"undisturbed: {time.monotonic() - began:.0f} s")
    chance, stopped, began = random.Random(seed), Counter(), time.monotonic()
    while manifest(store)["status"] != "finished":
        number = resume_for_a_while(store, chance)
        assert problems(store) == []
        if number is not None:
            stopped[signal.Signals(number).name] += 1
    taken = time.monotonic() - began
    print(f"stopped {stopped.total()} times in {taken:.0f} s: {dict(stopped)}")
    assert difference(tree(store), tree(alone)) == []
    assert sorted(path.name for path in (store / "runs").iterdir() if path.name[0] != ".") == ["run_1"]
