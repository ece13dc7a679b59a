"""A run that is stopped again and again, at random, ends with what an undisturbed one gives: `make soak`.

``RCIG_SOAK_STEPS`` says how long the run is, ``RCIG_SOAK_SEED`` repeats what was done.
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
STARTING = 4.0  # seconds in which a process may be stopped before it takes any


def finish(*arguments):
    process = start_rcig(*arguments)
    out, err = process.communicate()
    assert process.returncode == 0, out + err


def manifest(store):
    path = store / "runs/run_1/manifest.json"
    return json.loads(path.read_text()) if path.exists() else {"status": "none", "step": 0}


def grown(store, process):
    """Wait until the log of the numbers has changed: a step was taken, or the process is no more."""
    path = store / "runs/run_1/metrics.jsonl"
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
        time.sleep(0.01)


def live(store, chance):
    """Go on with the run for a while; return the signal that ended it, or None if it came to its end."""
    process = start_rcig(*RUN, "--resume", "--store", store)
    if chance.random() < 0.75:
        grown(store, process)
        time.sleep(chance.uniform(0, LONGEST))
    else:
        time.sleep(chance.uniform(0, STARTING))
    number = chance.choices(SIGNALS, WEIGHTS)[0]
    process.send_signal(number)
    _, err = process.communicate()
    assert "Traceback" not in err, err
    # A signal that comes before Python is ready for it ends the process as it ends any.
    assert process.returncode in (0, -number, 128 + number), err
    return number if process.returncode else None


def test_a_run_stopped_at_random_for_minutes_ends_with_the_same_bytes(tmp_path):
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
        number = live(store, chance)
        assert problems(store) == []
        if number is not None:
            stopped[signal.Signals(number).name] += 1
    taken = time.monotonic() - began
    print(f"stopped {stopped.total()} times in {taken:.0f} s: {dict(stopped)}")
    assert difference(tree(store), tree(alone)) == []
    assert sorted(path.name for path in (store / "runs").iterdir() if path.name[0] != ".") == ["run_1"]
