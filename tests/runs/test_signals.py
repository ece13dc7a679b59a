"""Signals are noted by jobs that save their state, and none is lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from rcig_cli.errors import Interrupted
from rcig_cli.runs import signals
from rcig_cli.runs.signals import stop_on_signals


@pytest.fixture(autouse=True)
def _hang_up_is_not_ignored():
    """Undo what nohup does, for tests that are run by it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def stopped(job):
    """Run ``job(stop)``, which must be stopped, as a job that stops on signals."""
    with stop_on_signals() as stop:
        job(stop)
        raise Interrupted("Stopped.", stop.signal_number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as found:
        stopped(lambda _: os.kill(os.getpid(), number))
    assert found.value.exit_code == 128 + number
    assert signal.getsignal(number) is before


def test_a_signal_that_an_inner_job_did_not_stop_for_reaches_the_outer_one():
    def outer(stop):
        with stop_on_signals() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)  # within a second: one press
            assert inner.signal_number == signal.SIGTERM
        assert stop.signal_number == signal.SIGTERM
        with stop_on_signals() as later:
            assert later.signal_number is None

    with pytest.raises(Interrupted):
        stopped(outer)


def test_a_signal_that_comes_as_a_job_ends_is_raised_after_it():
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with stop_on_signals():
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.signal_number is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_press_of_ctrl_c_raises_an_exception_where_no_command_runs(monkeypatch):
    monkeypatch.setattr(signals, "_ONE_PRESS", -1.0)
    monkeypatch.setattr(signals, "_is_watched", False)

    def press_twice(_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stopped(press_twice)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_job_in_another_thread_runs_without_noting_signals():
    noted = []

    def job():
        with stop_on_signals() as stop:
            noted.append(stop.signal_number)

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert noted == [None]


IGNORED = """
import os, signal, time
from rcig_cli.runs.signals import stop_on_signals, watch_signals

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)  # Python raises KeyboardInterrupt here, and ignores it

watch_signals(print, print)
JOB
"""
AGAIN = """
try:
    Dropped()
    time.sleep(60)
except KeyboardInterrupt:
    print("raised again", flush=True)
    os._exit(0)
"""
NOTED = """
Dropped()
with stop_on_signals() as stop:
    while stop.signal_number is None:
        time.sleep(0.01)
    print("noted", flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize(("job", "printed"), [(AGAIN, "raised again"), (NOTED, "noted")])
def test_an_exception_that_python_ignores_is_raised_again(job, printed):
    code = IGNORED.replace("JOB", job)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert (done.stdout, done.stderr) == (f"{printed}\n", "")


def test_a_signal_while_a_module_is_imported_ends_the_process(tmp_path):
    (tmp_path / "slow_module.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint(1)\n"
    )
    code = (
        "from rcig_cli.runs.signals import watch_signals; import sys; sys.path.append(sys.argv[1])\n"
        "watch_signals(print, lambda code: print('ended', code))\nimport slow_module"
    )
    command = [sys.executable, "-c", code, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (130, "ended 130\n")
