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
        self.noted = 0.0  # when it came

    def note(self, number: int) -> None:
        """Note a signal, if it is the first."""
        if self.signal_number is None:
            self.signal_number, self.noted = number, time.monotonic()


_under_way: list[StopRequest] = []


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note SIGINT, SIGTERM and SIGHUP instead of dying of them.

    Another one kills at once, if it doesn't come within a second of the first: a terminal and a wrapper may
    both send what was meant once.  Within a job that does this too, a signal is noted for both: if it comes
    when the inner one has nothing left to stop, the outer one still stops.
    """
    request = StopRequest()

    def note(number: int, _: FrameType | None) -> None:
        if request.signal_number is not None and time.monotonic() - request.noted > _ONE_PRESS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        for each in _under_way:
            each.note(number)

    _under_way.append(request)
    before = {each: signal.signal(each, note) for each in _HANDLED}
    try:
        yield request
    finally:
        _under_way.remove(request)
        for each, handler in before.items():
            signal.signal(each, handler)
