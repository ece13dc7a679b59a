"""A run of ``rcig distill`` in several sessions: stopped when the time is up, and resumed the next time."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measuring import environment
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.records import RunManifest
from rcig_cli.store.store import open_store

DATASET = "cifar10"

_TO_SAVE = 120.0  # seconds a stopped run may take for its last checkpoint, before it is killed
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)  # the latter: before it listened for signals


class Sitting(NamedTuple):
    """The progress of a run in one session.

    Attributes
    ----------
    seconds
        Duration, start and compilation included.
    before, after
        The run's outer steps at the beginning and at the end.
    """

    seconds: float
    before: int
    after: int


def rcig(store: Path, *words: str) -> list[str]:
    """The command line of an rcig command on a store, for a separate process."""
    return [sys.executable, "-m", "rcig_cli", *words, "--store", str(store), "--json"]


def answer(store: Path, *words: str, seconds: float | None = None) -> dict[str, Any]:
    """Run an rcig command to its end; return the JSON object that it prints.

    Raises
    ------
    RuntimeError
        If it fails, with its output.
    subprocess.TimeoutExpired
        If it takes longer than ``seconds``; it is killed.
    """
    done = subprocess.run(
        rcig(store, *words),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=environment(),
    )
    if done.returncode:
        raise RuntimeError(f"rcig {' '.join(words)} failed:\n{done.stderr[-4000:]}{done.stdout}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def is_prepared(store: Path, dataset: str = DATASET) -> bool:
    """Whether the store has the data set."""
    return (store / "store.json").exists() and open_store(store, create=False).dataset_path(dataset).exists()


def find(store: Path, settings: Mapping[str, Any]) -> RunManifest | None:
    """The newest run of these settings on this data, finished or not."""
    artifacts = open_store(store, create=False)
    prepared = open_prepared(artifacts, DATASET)
    wanted = resolved(prepared, {"dataset": DATASET, **settings}).to_json()
    for run in reversed(artifacts.runs().found):
        same_data = run.parents["dataset"]["digest"] == prepared.manifest.digest
        if same_data and run.config == wanted:
            return run
    return None


def sit(
    store: Path, settings: Mapping[str, Any], flags: Sequence[str], seconds: float, log: Path
) -> Sitting | None:
    """Start or resume the run of these settings for some seconds; None if it was finished.

    Parameters
    ----------
    store
        Where the prepared data set is.
    settings, flags
        The run's settings, and the corresponding flags of ``rcig distill``.
    seconds
        Time after which it gets a SIGTERM; it then saves its state and ends.
    log
        A file to which its messages are appended.

    Raises
    ------
    RuntimeError
        If it fails, or failed in an earlier session.
    """
    run = find(store, settings)
    if run is not None and run.status == "finished":
        return None
    if run is not None and run.status == "failed":
        raise RuntimeError(f"{run.name} diverged after step {run.step}: its output is in {log}.")
    start = time.monotonic()
    with log.open("a") as messages:
        command = rcig(store, "distill", DATASET, *flags, "--resume")
        child = subprocess.Popen(command, stdout=messages, stderr=messages, env=environment())
        code = _ended(child, seconds)
    if code not in (0, *_STOPPED):
        raise RuntimeError(f"rcig distill ended with {code}; its output is in {log}.")
    now = find(store, settings)
    return Sitting(time.monotonic() - start, run.step if run else 0, now.step if now else 0)


def _ended(child: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait for a run, ask it to stop when its time is up, and return its exit code."""
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGTERM)
        return child.wait(_TO_SAVE)
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
