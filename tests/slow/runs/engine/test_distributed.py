"""Two processes distill together; one is killed; the run is resumed with another number of processes."""

import json
import os
import re
import signal
import time
from dataclasses import replace

from rcig_cli.store.records import RunManifest, read_manifest, write_manifest
from tests.conftest import start_rcig
from tests.runs.engine.job import free_port

FLAGS = ["digits", "--ipc", 1, "--width", 4, "--batch", 64, "--pool-size", 4, "--pool-steps", 2]
FLAGS += ["--inner-steps", 2, "--hessian-steps", 2, "--checkpoint-every", 2]


def start_both(store, *flags):
    together = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", 2]
    return [
        start_rcig("distill", *FLAGS, *flags, *together, "--process", index, "--store", store)
        for index in (0, 1)
    ]


def outcome(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def wait_for_checkpoint(run, step):
    limit = time.monotonic() + 90
    while time.monotonic() < limit:
        if any(int(path.name) >= step for path in run.glob("checkpoints/[0-9]*")):
            return
        time.sleep(0.1)
    raise AssertionError(f"no checkpoint of step {step} in time")


def test_a_run_survives_the_death_of_a_process_and_resumes_with_another_number_of_processes(rcig, tmp_path):
    store = tmp_path / "a"
    assert rcig("prepare", "digits", "--store", store).code == 0
    both = start_both(store, "--steps", 3000)
    wait_for_checkpoint(store / "runs" / "run_1", 4)
    both[1].send_signal(signal.SIGKILL)
    code, out, err = outcome(both[0])
    outcome(both[1])
    assert code == 1
    assert out == ""
    sentences = [line for line in err.splitlines() if line.startswith("rcig:")]
    assert sentences == [
        "rcig: Another process has ended, or the connection to it was lost; its output may show the cause. "
        "To resume from the last checkpoint, start all processes again with --resume."
    ]
    assert "Traceback" not in err
    assert len(err.splitlines()) < 12

    both = start_both(store, "--steps", 3000, "--resume")
    time.sleep(0.1)
    stand = newest(store)
    wait_for_checkpoint(store / "runs" / "run_1", stand + 2)
    both[1].send_signal(signal.SIGTERM)  # one receives it, both stop at the same step
    first, second = outcome(both[0]), outcome(both[1])
    assert (first[0], second[0]) == (143, 143)
    assert re.search(r"Stopped at step \d+ of 3000, after saving a checkpoint", first[2])

    steps = newest(store) + 3
    shorten(store, steps)
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    alone = start_rcig(
        *("distill", *FLAGS, "--steps", steps, "--resume", "--devices", 4, "--store", store),
        env={**os.environ, "XLA_FLAGS": flags},
    )
    code, _, err = outcome(alone)
    assert code == 0, err
    assert "run_1" in err

    first, second = map(outcome, start_both(store, "--steps", steps, "--resume", "run_1", "--json"))
    assert (first[0], second[0]) == (0, 0), first[2]
    assert json.loads(first[1])["status"] == "finished"  # nothing else is on stdout
    assert second[1] == ""


def newest(store):
    return max(int(path.name) for path in (store / "runs" / "run_1").glob("checkpoints/[0-9]*"))


def shorten(store, steps):
    """Shorten the run: change its configuration to fewer steps."""
    path = store / "runs" / "run_1"
    manifest = read_manifest(path, RunManifest)
    write_manifest(path, replace(manifest, config={**manifest.config, "steps": steps}))
