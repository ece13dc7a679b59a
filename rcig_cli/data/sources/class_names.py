"""Names of classes that people can read, where a data set's own files have numbers or WordNet's codes.

A WordNet code ("synset") is ``n`` and eight digits: ``n01440764`` is the tench.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import ConfigError

MOST_CLASSES = 100_000
LONGEST_NAME = 1000
"""Of a class, in characters."""

_SOME = 2**20  # labels looked at at a time

NUMBERED: dict[str, tuple[str, ...]] = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "cifar10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
}
"""By data set, in the order of the labels."""

IMAGENETTE: dict[str, str] = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}

IMAGEWOOF: dict[str, str] = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}

_SYNSET = re.compile(r"n\d{8}")
_BIRD = re.compile(r"\d{3}\.(.+)")


def published_names(dataset: str, numbers: tuple[str, ...]) -> tuple[str, ...]:
    """Give the names of a data set's classes instead of their numbers, if there are as many of both."""
    names = NUMBERED.get(dataset, ())
    return names if len(names) == len(numbers) else numbers


def is_synset(name: str) -> bool:
    """Say whether a name is one of WordNet's codes."""
    return _SYNSET.fullmatch(name) is not None


def readable(names: Sequence[str], words: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Put words in place of WordNet's codes, and take the numbers off CUB-200-2011's birds.

    Parameters
    ----------
    names
        Names of classes; any others stay as they are.
    words
        Codes and their synonyms, separated by commas; ImageNette's and ImageWoof's are known without.

    Returns
    -------
    tuple of str
        As many names, all distinct: the first synonym; where another class has the same, all of them; and
        where that doesn't tell them apart, the name as it was.  If a code isn't known, nothing changes.
    """
    known = {**IMAGENETTE, **IMAGEWOOF, **(words or {})}
    if not all(name in known for name in names if is_synset(name)):
        return tuple(names)
    full = [known.get(name, _bird(name)) for name in names]
    short = [text.split(",")[0].strip() or text for text in full]
    for finer in (full, list(names)):
        count = Counter(short)
        short = [best if count[best] == 1 else other for best, other in zip(short, finer, strict=True)]
    return tuple(short) if len(set(short)) == len(short) else tuple(names)


def _bird(name: str) -> str:
    found = _BIRD.fullmatch(name)
    return found.group(1).replace("_", " ") if found else name


def check_names(where: object, names: Sequence[str], classes: int) -> tuple[str, ...]:
    """Refuse names that aren't one distinct, printable text for each of ``classes`` classes.

    Raises
    ------
    ConfigError
        With what is wrong; ``where`` begins the sentence.
    """
    if len(names) != classes:
        raise ConfigError(f"{where} has {len(names)} names for {classes} classes: download it again.")
    wrong = misnamed(names)
    if wrong:
        raise ConfigError(f"{where} holds {wrong}: download it again.")
    return tuple(names)


def misnamed(names: Sequence[str]) -> str | None:
    """Say what is wrong with the names of classes, in words to follow "holds"; None if nothing is.

    Names that Unicode composes otherwise are the same: nobody could tell them apart.
    """
    if not all(name and name.isprintable() for name in names):
        return "empty or unprintable names"
    if any(len(name) > LONGEST_NAME for name in names):
        return f"names of more than {LONGEST_NAME} characters"
    if len({unicodedata.normalize("NFC", name) for name in names}) != len(names):
        return "repeated names"
    return None


def check_every_class(where: object, labels: npt.NDArray[np.int32], classes: int) -> None:
    """Refuse a training split in which a class has no image.

    Raises
    ------
    ConfigError
        With the number of the class; ``where`` begins the sentence.
    """
    found = np.zeros(classes, np.bool_)
    for start in range(0, len(labels), _SOME):
        found[labels[start : start + _SOME]] = True
    if not found.all():
        raise ConfigError(f"{where} has no training image of class {found.argmin()}: every class needs one.")
