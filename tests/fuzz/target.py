"""What a fuzz target is: one function that feeds bytes to real code of the tool."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rcig_cli.errors import RcigError


@dataclass(frozen=True)
class Target:
    """Real code, and what to feed it with.

    Parameters
    ----------
    name
        What it is called on the command line, and in the names of saved inputs.
    seeds
        Returns small valid inputs, to be mutated.
    feed
        Runs the code on the bytes.  It may raise `RcigError`: a refusal.  The path is an empty scratch folder
        of its own; nothing may be written anywhere else.
    memory
        How many bytes more than before it may take: the declared limit.
    mutate
        Makes another input of one, where bytes alone would never get far (behind a digest or a CRC); without
        it the inputs are mutated as plain bytes.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    feed: Callable[[bytes, Path], None]
    memory: int
    mutate: Callable[[bytes, Random], bytes] | None = None


def outcome(target: Target, data: bytes, scratch: Path) -> str:
    """Feed one input; return "accepted" or "refused", and let anything else through."""
    try:
        target.feed(data, scratch)
    except RcigError as error:
        if not str(error):
            raise AssertionError("a refusal without a word") from error
        return "refused"
    return "accepted"
