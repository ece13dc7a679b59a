"""The order of a file's classes, matched by name with that of the data set.

The class numbers and the columns of the soft labels of a file are in the file's own order.  Where the file
has the names of its classes, both are put in the data set's order.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.records import DatasetInfo
from rcig_cli.data.sources.class_names import readable
from rcig_cli.data.sources.known import KNOWN, published_order
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, listed, shorten

_SHOWN = 3  # names in a message
_OTHER_ORDERS = {
    "imagewoof": (
        *("Australian terrier", "Border terrier", "Samoyed", "beagle", "Shih-Tzu", "English foxhound"),
        *("Rhodesian ridgeback", "dingo", "golden retriever", "Old English sheepdog"),
    )
}
"""The order in which MTT and DD-Ranking number classes, where it isn't that of the data set here.

Source: ``Config`` in ``utils.py`` of GeorgeCazenavette/mtt-distillation, as numbers of ImageNet's classes.
"""


def class_order(
    path: Path, names: Sequence[str] | None, dataset: DatasetInfo, *, given: bool = False
) -> tuple[npt.NDArray[np.int32], tuple[Note, ...]]:
    """Match a file's classes with those of a data set.

    Names are matched exactly, or else without regard to case, spaces and punctuation, with words for known
    WordNet codes and for known other names of the data set's classes.  Class numbers without names, and names
    that are only the numbers from 0 to C - 1, are taken in the `usual_order`.

    Parameters
    ----------
    path
        The file, for messages.
    names
        The names of its classes in the order of its class numbers; None if it has only numbers.
    dataset
        The data set.
    given
        Whether the names are those that the user gave.

    Returns
    -------
    ndarray, tuple of Note
        int32 ``[C]``: the data set's number for each class number of the file; and what was assumed.

    Raises
    ------
    ConfigError
        If the names aren't those of the data set's classes.
    """
    ours = dataset.class_names
    if names is None:
        names = tuple(map(str, range(len(ours))))
    else:
        order = _positions(names, ours)
        if order is not None:
            return order, _matched(path, dataset, order)
        words = [_simplified(name) for name in _known_words(names, dataset)]
        order = _positions(words, [_simplified(name) for name in ours])
        if order is not None:
            return order, _matched(path, dataset, order, ", without regard to case and punctuation")
    stated = [int(name) if _is_number(name) else -1 for name in names]
    if sorted(stated) == list(range(len(ours))):
        usual = usual_order(dataset)
        order = np.array([ours.index(usual[number]) for number in stated], dtype=np.int32)
        return order, _numbered(path, dataset, usual)
    if given:
        raise ConfigError(
            f"--class-names must list the {len(ours)} classes of {dataset.name}, each once, but "
            f"{_difference(names, ours)}."
        )
    raise ConfigError(
        f"The classes of {path} can't be matched with those of {dataset.name}: {_difference(names, ours)}. "
        "If they are the same under other names, pass --class-names FILE, a text file with the names of "
        f"{dataset.name} in the order of the file's classes ({_listed(names)}), one a line."
    )


def usual_order(dataset: DatasetInfo) -> tuple[str, ...]:
    """Return the names of a data set's classes in the order of other programs' class numbers.

    That is the published order of a known data set, the order of the numbers if the names are the numbers
    from 0 to C - 1, and otherwise the data set's own order.
    """
    ours = dataset.class_names
    candidates = published_order(dataset.name), tuple(map(str, range(len(ours))))
    return next((names for names in candidates if sorted(names) == sorted(ours)), ours)


def order_of_dd_ranking(dataset: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a data set's classes in the order of MTT's and DD-Ranking's class numbers.

    ``class_names`` are returned for data sets whose order isn't known here.
    """
    return _OTHER_ORDERS.get(dataset) or published_order(dataset) or class_names


def _positions(theirs: Sequence[str], ours: Sequence[str]) -> npt.NDArray[np.int32] | None:
    """The position in ``ours`` of each of ``theirs``; None if they aren't the same distinct names."""
    positions = {name: position for position, name in enumerate(ours)}
    if not len(theirs) == len(ours) == len(positions) or set(theirs) != set(positions):
        return None
    return np.array([positions[name] for name in theirs], dtype=np.int32)


def _known_words(names: Sequence[str], dataset: DatasetInfo) -> list[str]:
    known = KNOWN.get(dataset.name)
    others = known.other_names if known else {}
    return [others.get(name, name) for name in readable(names)]


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 10


def _simplified(name: str) -> str:
    """Drop case, spaces and punctuation, but not from names without any letter, such as ``-1`` or ``1.5``."""
    letters = "".join(each for each in unicodedata.normalize("NFKC", name).casefold() if each.isalnum())
    return letters if any(each.isalpha() for each in letters) else name


def _numbered(path: Path, dataset: DatasetInfo, usual: tuple[str, ...]) -> tuple[Note, ...]:
    if dataset.name in _OTHER_ORDERS:
        raise ConfigError(
            f"{path} only numbers its classes, and those of {dataset.name} are numbered in two ways: as here "
            f"({', '.join(usual)}), or as MTT and DD-Ranking do ({', '.join(_OTHER_ORDERS[dataset.name])}). "
            "Pass --class-names FILE, a text file with the names in the right order, one a line."
        )
    if usual == tuple(map(str, range(len(usual)))):
        return ()
    first = ", ".join(f"{number} is {shorten(name)}" for number, name in enumerate(usual[:_SHOWN]))
    more = ", ..." if len(usual) > _SHOWN else ""
    text = f"{path} only numbers its classes: the order of {dataset.name} is assumed ({first}{more})."
    return (Note("classes", text),)


def _matched(
    path: Path, dataset: DatasetInfo, order: npt.NDArray[np.int32], how: str = ""
) -> tuple[Note, ...]:
    moved = not np.array_equal(order, np.arange(len(order)))
    if not how and not moved:
        return ()
    what = f", and put in the order of {dataset.name}" if moved else ""
    text = f"The classes of {path} were matched with those of {dataset.name} by name{how}{what}."
    return (Note("classes", text),)


def _difference(theirs: Sequence[str], ours: Sequence[str]) -> str:
    twice = [name for name, times in Counter(theirs).items() if times > 1]
    if twice:
        return f"it has the class {shorten(twice[0])} twice"
    sides = {
        "only the file has": [name for name in theirs if name not in set(ours)],
        "only the data set has": [name for name in ours if name not in set(theirs)],
    }
    return ", ".join(f"{side} {_listed(names)}" for side, names in sides.items() if names)


def _listed(names: Sequence[str]) -> str:
    return listed([shorten(name) for name in names], _SHOWN)
