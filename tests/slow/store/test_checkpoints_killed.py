"""A process that saves checkpoints is killed at random moments: the newest checkpoint is complete."""

import random
import subprocess
import sys
import time

import numpy as np

from rcig_cli.store.checkpoints import latest
from tests.conftest import ROOT

SAVE_FOREVER = """
import itertools, sys, pathlib, numpy as np
from rcig_cli.store import checkpoints
run = pathlib.Path(sys.argv[1])
first = max(checkpoints.steps(run), default=0) + 1
for step in itertools.count(first):
    checkpoints.save(run, step, {f"leaf{i}": np.full((50, 400), step + i / 8) for i in range(8)})
    print(step, flush=True)
"""


def test_a_kill_at_any_moment_leaves_a_complete_checkpoint(tmp_path):
    run_path = tmp_path / "run_1"
    run_path.mkdir()
    template = {f"leaf{i}": np.zeros((50, 400)) for i in range(8)}
    moments = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, run_path], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        seen = int(process.stdout.readline())
        time.sleep(moments.uniform(0, 0.25))
        process.kill()
        rest = process.communicate()[0].split()
        restored = latest(run_path, template)
        assert restored.warnings == ()
        assert restored.step >= int(rest[-1] if rest else seen)
        for i in range(8):
            assert (restored.state[f"leaf{i}"] == restored.step + i / 8).all()
