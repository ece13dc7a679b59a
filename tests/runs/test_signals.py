"""Signals are noted by jobs that save their state, and none is lost."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from rcig_cli.errors import Interrupted
from rcig_cli.runs.signals import stop_on_signals


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


def test_a_job_in_another_thread_runs_without_noting_signals():
    noted = []

    def job():
        with stop_on_signals() as stop:
            noted.append(stop.signal_number)

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert noted == [None]


SWALLOWED = """
import os, signal, time
from rcig_cli.runs.signals import stop_on_signals, watch_signals

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)  # Python raises KeyboardInterrupt here, and ignores it

watch_signals(print, print)
Dropped()
with stop_on_signals() as stop:
    print(stop.signal_number, flush=True)
    os._exit(0)
"""


def test_a_job_that_starts_after_an_ignored_exception_stops():
    done = subprocess.run([sys.executable, "-c", SWALLOWED], capture_output=True, text=True, check=True)
    assert "Exception ignored" in done.stderr
    assert int(done.stdout) == signal.SIGINT
