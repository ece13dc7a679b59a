"""The interface through which the library reports messages and progress, to a terminal, a log or nowhere."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rcig_cli.data.sources.listener import Listener
from rcig_cli.store.progress import Progress, write_progress

STEPS_PER_SECOND = "steps/s"  # among the values of a progress: from it follows the time that is left

_WRITE_EVERY = 1.0  # seconds


class Report(Listener, Protocol):
    """Receives messages, as a `Listener` of downloads does, also warnings, and progress with metrics."""

    def warn(self, sentence: str) -> None:
        """Report a problem that doesn't stop the work."""

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Report how much of a stage is done, with some metrics; ``done == total`` ends it."""


class SharedReport:
    """A report that also writes the progress of a run into its folder, for other processes.

    Parameters
    ----------
    report
        Receives everything.
    run_path
        The folder of the run, whose lock is held.
    """

    def __init__(self, report: Report, run_path: Path) -> None:
        self._report, self._path = report, run_path
        self._written_at = -_WRITE_EVERY

    def note(self, sentence: str) -> None:
        """Report something that the user should know."""
        self._report.note(sentence)

    def warn(self, sentence: str) -> None:
        """Report a problem that doesn't stop the work."""
        self._report.warn(sentence)

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Report how much of a stage is done."""
        self._report.progress(label, done, total, values)
        if time.monotonic() - self._written_at < _WRITE_EVERY:
            return
        self._written_at = time.monotonic()
        shown = dict(values or {})
        speed = shown.get(STEPS_PER_SECOND)
        left = (total - done) / speed if speed else None
        write_progress(self._path, Progress(label, done, total, shown, left))
