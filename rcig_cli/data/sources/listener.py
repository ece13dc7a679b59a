"""How a source that downloads data reports what it does."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Receives messages and progress."""

    def note(self, sentence: str) -> None:
        """Report something that the user should know."""

    def progress(self, label: str, done: int, total: int) -> None:
        """Report how much of a stage is done."""


class Silent:
    """A `Listener` that ignores everything."""

    def note(self, sentence: str) -> None:
        """Ignore it."""

    def progress(self, label: str, done: int, total: int) -> None:
        """Ignore it."""
