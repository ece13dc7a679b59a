"""Stopping in good order: a signal is noted, and the job stops where its state is whole."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_PRESS = 1.0  # seconds


class StopRequest:
    """Whether a signal has asked us to stop.

    Attributes
    ----------
    signal_number
        The first signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note SIGINT, SIGTERM and SIGHUP instead of dying of them.

    Another one kills at once, if it doesn't come within a second of the first: a terminal and a wrapper may
    both send what was meant once.
    """
    request = StopRequest()
    first = 0.0

    def note(number: int, _: FrameType | None) -> None:
        nonlocal first
        if request.signal_number is None:
            request.signal_number, first = number, time.monotonic()
        elif time.monotonic() - first > _ONE_PRESS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = {each: signal.signal(each, note) for each in _HANDLED}
    try:
        yield request
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
