"""What a folder full of records holds: those that can be read, and what is wrong with the others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rcig_cli.errors import Corrupt, NotFound

Record = TypeVar("Record")


@dataclass(frozen=True)
class Problem:
    """One thing that can't be read: where it is, and a sentence about it."""

    path: Path
    message: str


@dataclass(frozen=True)
class Listing(Generic[Record]):
    """The readable records of a folder in natural order, and the problems with the rest."""

    found: tuple[Record, ...]
    problems: tuple[Problem, ...]


def read_each(paths: Iterable[Path], read: Callable[[Path], Record]) -> Listing[Record]:
    """Read every path; what is damaged doesn't hide what is sound.

    Parameters
    ----------
    paths
        In the order of the result.
    read
        Reads one of them, and raises `Corrupt` for one that is damaged.
    """
    found, problems = [], []
    for path in paths:
        try:
            found.append(read(path))
        except NotFound:
            # Removed by another process since the folder was listed.
            continue
        except Corrupt as error:
            problems.append(Problem(path, str(error)))
    return Listing(tuple(found), tuple(problems))
