"""A signal is noted, by whoever is at work within whom."""

import os
import signal

import pytest

from rcig_cli.runs.signals import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert stop.signal_number is None
        os.kill(os.getpid(), number)
        assert stop.signal_number == number
    assert signal.getsignal(number) is before


def test_what_comes_to_an_inner_job_reaches_the_outer_one():
    with stop_on_signals() as outer:
        with stop_on_signals() as inner:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)  # within a second: meant once
        assert (inner.signal_number, outer.signal_number) == (signal.SIGTERM, signal.SIGTERM)
        with stop_on_signals() as later:
            assert later.signal_number is None
