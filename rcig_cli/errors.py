"""The errors that are shown to users, as subclasses of `RcigError`.

The message of an error is one or two sentences: what is wrong, and what to do about it.
``rcig_cli.cli.app`` prints it and exits with ``exit_code``.
"""

from collections.abc import Sequence


def shorten(value: object, limit: int = 60) -> str:
    """Return the ``repr`` of a value, cut to `limit` characters, for an error message."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def listed(words: Sequence[str], most: int = 5) -> str:
    """Return the first few of some words, and how many more there are, for a message."""
    more = len(words) - most
    return ", ".join(words[:most]) + (f" and {more} more" if more > 0 else "")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that there is not enough memory, of the machine or of a GPU."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


class RcigError(Exception):
    """An error whose message is shown to the user, without a traceback."""

    exit_code = 1


class ConfigError(RcigError):
    """Wrong usage, or an invalid configuration."""

    exit_code = 2


class NotFound(RcigError):
    """No such data set, run or file."""

    exit_code = 3


class Locked(RcigError):
    """Another process is writing this run."""

    exit_code = 4


class Corrupt(RcigError):
    """Damaged, or written by a newer format."""

    exit_code = 5


class NumericsError(RcigError):
    """The run diverged; the last good checkpoint is kept."""

    exit_code = 6


class Interrupted(RcigError):
    """Stopped by a signal, after a checkpoint.

    Parameters
    ----------
    message
        What was saved.
    signal_number
        The POSIX number of the signal; the exit code is 128 plus this.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
