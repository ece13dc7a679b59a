"""Stopping on signals: jobs stop where their state is consistent, and the process always ends.

SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal was closed) ask a command to stop.

- A job that saves its state notes the signal (`stop_on_signals`), and raises `Interrupted` once it has saved.
- Elsewhere the signal raises an exception in the main thread, as Ctrl-C does in Python.
- Python ignores an exception that is raised in a destructor or in a callback of the garbage collector.  If a
  signal was lost in this way, the next job that starts still knows of it, and stops as soon as it can.
- A signal that comes more than a second after the first ends the process at once, except that Ctrl-C raises
  `KeyboardInterrupt` at once where a job was started from Python, as in a notebook.

Python runs signal handlers in the main thread, between two of its instructions, and so not while a library
compiles or computes.  Therefore the command line also watches for signals in a thread (`watch_signals`).
This thread ends the process on a second signal, or ten seconds after the first, unless a job has work that is
not saved yet.  It calls `os._exit`, as `leave` does, so that no destructors of libraries run: these may block
for ever while threads still compute.  The kernel releases locks, and later commands remove temporary files.
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from rcig_cli.errors import Interrupted

_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ONE_PRESS = 1.0  # seconds in which signals count as one: a terminal and a wrapper may both send it
_TELL_AFTER = 2.0  # seconds after which a message says that the command is still stopping
_GRACE = 10.0  # seconds after which a command that has nothing to save is ended


@dataclass
class StopRequest:
    """Whether a signal has asked a job to stop.

    Attributes
    ----------
    signal_number
        The first signal that came, or None.
    unsaved
        Whether the job has work that is not saved yet, so that the process must not end before it stops; set
        by the job.
    """

    signal_number: int | None = None
    unsaved: bool = False


_job = StopRequest()  # of the job that is running, if one is
_is_watched = False  # whether this process runs one command, and `watch_signals` was called
_exception_was_ignored = False  # of the last signal, which is sent again until its handler has run


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note SIGINT, SIGTERM and SIGHUP, for a job that saves its state and then raises `Interrupted`.

    A second signal, if it comes more than a second after the first, ends the process or, if it is Ctrl-C and
    the process is not that of a command, raises `KeyboardInterrupt`.  If a signal comes when the job is just
    finishing, so that the job doesn't stop for it, it is raised again after the block.  Outside
    of the main thread, where Python handles no signals, nothing is noted.
    """
    global _job
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    came = 0.0

    def note(number: int, _: FrameType | None) -> None:
        nonlocal came
        global _exception_was_ignored
        _exception_was_ignored = False
        if request.signal_number is None:
            request.signal_number, came = number, time.monotonic()
        elif time.monotonic() - came > _ONE_PRESS:
            if number == signal.SIGINT and not _is_watched:
                raise KeyboardInterrupt
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    outer, _job = _job, request
    # Under nohup, SIGHUP is ignored; that is kept.
    handled = [each for each in _HANDLED if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    before = {each: signal.signal(each, note) for each in handled}
    try:
        yield request
    finally:
        _job = outer
        for each, handler in before.items():
            signal.signal(each, handler)
    if request.signal_number is not None:
        signal.raise_signal(request.signal_number)


def watch_signals(tell: Callable[[str], None], end: Callable[[int], None]) -> None:
    """Make sure that this process, which runs one command, ends on a signal; the module describes how.

    Parameters
    ----------
    tell
        Shows a message; called in another thread if stopping takes longer than two seconds.
    end
        Called with the exit code in another thread, just before that ends the process.
    """
    global _is_watched
    _is_watched = True

    def stop(number: int, frame: FrameType | None) -> None:
        global _exception_was_ignored
        _exception_was_ignored = False
        if _is_importing(frame):
            end(128 + number)
            leave(128 + number)
        raise KeyboardInterrupt if number == signal.SIGINT else Interrupted("Stopped.", number)

    def note_ignored(ignored: "sys.UnraisableHookArgs") -> None:
        global _exception_was_ignored
        if isinstance(ignored.exc_value, KeyboardInterrupt | Interrupted):
            _exception_was_ignored = True
        else:
            sys.__unraisablehook__(ignored)

    sys.unraisablehook = note_ignored
    for number in _HANDLED:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, stop)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading, tell, end), daemon=True, name="signals").start()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _watch(reading: int, tell: Callable[[str], None], end: Callable[[int], None]) -> None:
    while (first := os.read(reading, 1)[0]) not in _HANDLED:
        pass
    came = idle_since = time.monotonic()
    told, sent_again = False, 0
    while True:
        if _exception_was_ignored:
            sent_again += 1
            signal.pthread_kill(threading.main_thread().ident or 0, first)
            time.sleep(0.1)
        ready, _, _ = select.select([reading], [], [], 0.1)
        now = time.monotonic()
        again = ready and os.read(reading, 1)[0] in _HANDLED
        if again and sent_again:
            again, sent_again = False, sent_again - 1
        if _job.unsaved:
            idle_since = now
        if (again and now - came > _ONE_PRESS) or now - idle_since > _GRACE:
            end(128 + first)
            leave(128 + first)
        if now - came > _TELL_AFTER and not told:
            told = True
            tell("Stopping as soon as the current computation is done. Press Ctrl-C to stop at once.")


def leave(code: int) -> NoReturn:
    """End the process with an exit code, and run nothing more: no destructors, and no wait for threads."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
