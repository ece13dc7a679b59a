"""The interface through which the library reports messages and progress, to a terminal, a log or nowhere."""

from collections.abc import Mapping
from typing import Protocol

from rcig_cli.data.sources.listener import Listener


class Report(Listener, Protocol):
    """Receives messages, as a `Listener` of downloads does, also warnings, and progress with metrics."""

    def warn(self, sentence: str) -> None:
        """Report a problem that doesn't stop the work."""

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Report how much of a stage is done, with some metrics; ``done == total`` ends it."""
