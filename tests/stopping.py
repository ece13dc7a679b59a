"""A command in a process of its own that is sent signals in a phase of its choice.

    python stopping.py MARKER MODULE:FUNCTION SECONDS COMMAND...

runs a command, writes the file MARKER when FUNCTION is called for the first time, and lets that call sleep
for SECONDS first, so that phases that are over too soon can be seen.
"""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def start(folder, phase, *command, hold=0.0):
    """Start a command; return its process once it has reached the phase, a function's ``module:name``."""
    marker = folder / "marker"
    marker.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, __file__, str(marker), phase, str(hold), *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Compiling is a phase too: nothing is taken from the cache.
        env={**os.environ, "PYTHONPATH": str(ROOT), "RCIG_COMPILATION_CACHE": ""},
    )
    deadline = time.monotonic() + 120
    while not marker.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"{phase} was not reached: {process.communicate()}")
        time.sleep(0.05)
    return process


def stop(process, *numbers, within, delay=0.5, between=1.3):
    """Send signals one after another; return the seconds it took, the exit code and the errors."""
    time.sleep(delay)
    assert process.poll() is None, process.communicate()
    began = time.monotonic()
    for index, number in enumerate(numbers):
        if index:
            time.sleep(between)
        process.send_signal(number)
    try:
        _, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"still running after {within} s: {process.communicate()}") from None
    return time.monotonic() - began, process.returncode, err


def _announce(marker, phase, hold):
    module_name, name = phase.split(":")
    owner = importlib.import_module(module_name)
    *outer, name = name.split(".")
    for each in outer:
        owner = getattr(owner, each)
    original, first = getattr(owner, name), threading.Lock()

    def announced(*arguments, **options):
        if first.acquire(blocking=False):
            marker.touch()
            time.sleep(hold)
        return original(*arguments, **options)

    setattr(owner, name, announced)


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[0] = str(ROOT)
    from rcig_cli.runs.engine.environment import prepare_environment

    prepare_environment()
    _announce(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
    sys.argv = ["rcig", *sys.argv[4:]]
    from rcig_cli.cli.app import main

    main()
