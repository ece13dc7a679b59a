"""How a job tells what it is doing: to a terminal, to a log, or not at all."""

from collections.abc import Mapping
from typing import Protocol


class Report(Protocol):
    """Where a job's messages go."""

    def note(self, sentence: str) -> None:
        """Say something the user should know."""

    def warn(self, sentence: str) -> None:
        """Say something the user should worry about."""

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Say how far a stage is, with the numbers worth seeing; ``done == total`` ends it."""
