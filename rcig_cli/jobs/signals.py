"""Stopping in good order: a signal is noted, and the job stops where its state is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether a signal has asked us to stop.

    Attributes
    ----------
    signal_number
        The first signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __bool__(self) -> bool:
        return self.signal_number is not None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM instead of dying of them; a second one kills at once."""
    request = StopRequest()
    handled = (signal.SIGINT, signal.SIGTERM)

    def note(number: int, _: FrameType | None) -> None:
        request.signal_number = number
        for each in handled:
            signal.signal(each, signal.SIG_DFL)

    before = {each: signal.signal(each, note) for each in handled}
    try:
        yield request
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
