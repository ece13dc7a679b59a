"""Names of classes, and checks of names and labels that come from files.

A WordNet code ("synset") is ``n`` and eight digits: ``n01440764`` is the tench.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.known import KNOWN
from rcig_cli.errors import ConfigError, Corrupt

MOST_CLASSES = 100_000
_LONGEST_NAME = 1000  # characters

_SYNSET = re.compile(r"n\d{8}")
_BIRD = re.compile(r"\d{3}\.(.+)")


def published_names(dataset: str, count: int) -> tuple[str, ...]:
    """Return the known names of a data set's classes if there are ``count``, else "0", "1", and so on."""
    names = KNOWN[dataset].class_names if dataset in KNOWN else ()
    return names if len(names) == count else tuple(map(str, range(count)))


def is_synset(name: str) -> bool:
    """Whether a name is a WordNet code."""
    return _SYNSET.fullmatch(name) is not None


def readable(names: Sequence[str], words: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Replace WordNet codes by words, and strip the numbers off the names of CUB-200-2011's birds.

    Parameters
    ----------
    names
        Names of classes; names of other forms stay.
    words
        Synonyms by code, separated by commas; those of ImageNette and ImageWoof are known.

    Returns
    -------
    tuple of str
        As many names, all distinct: the first synonym; if classes share it, all their synonyms; if those
        are the same, the name as given.  If any code is unknown, nothing changes.
    """
    known = {code: text for row in KNOWN.values() for code, text in row.synsets.items()} | dict(words or {})
    if not all(name in known for name in names if is_synset(name)):
        return tuple(names)
    full = [known.get(name, _bird(name)) for name in names]
    short = [text.split(",")[0].strip() or text for text in full]
    for longer in (full, list(names)):
        count = Counter(short)
        short = [best if count[best] == 1 else other for best, other in zip(short, longer, strict=True)]
    return tuple(short) if len(set(short)) == len(short) else tuple(names)


def _bird(name: str) -> str:
    found = _BIRD.fullmatch(name)
    return found.group(1).replace("_", " ") if found else name


def misnamed(names: Sequence[str]) -> str | None:
    """Describe what is wrong with the names of classes, to follow the word "holds"; None if nothing is.

    Names that are equal once Unicode is composed (NFC) count as repeated, because they look the same.
    """
    if not all(name and name.isprintable() for name in names):
        return "empty or unprintable names"
    if any(len(name) > _LONGEST_NAME for name in names):
        return f"names of more than {_LONGEST_NAME} characters"
    if len({unicodedata.normalize("NFC", name) for name in names}) != len(names):
        return "repeated names"
    return None


def check_names(where: object, names: Sequence[str], classes: int) -> tuple[str, ...]:
    """Return the names if they are distinct and printable, one for each of ``classes`` classes.

    Raises
    ------
    ConfigError
        If they aren't; ``where`` begins the sentence.
    """
    if len(names) != classes:
        raise ConfigError(f"{where} has {len(names)} names for {classes} classes: download it again.")
    wrong = misnamed(names)
    if wrong:
        raise ConfigError(f"{where} holds {wrong}: download it again.")
    return tuple(names)


def check_class_numbers(where: object, values: npt.NDArray[Any]) -> None:
    """Refuse labels ``[n]`` that aren't whole numbers from 0.

    Raises
    ------
    ConfigError
        With the first thing wrong; ``where`` begins the sentence.
    """
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise ConfigError(f"{where} holds labels that aren't whole numbers: save classes as 0, 1, 2, ...")
    if values.min() < 0:
        raise ConfigError(f"{where} holds the negative label {values.min():g}: save classes as 0, 1, 2, ...")
    if values.max() >= MOST_CLASSES:
        raise ConfigError(f"{where} holds the label {values.max():g}: the limit is {MOST_CLASSES} classes.")


def check_labels(where: object, values: npt.NDArray[Any], classes: int) -> npt.NDArray[np.int32]:
    """Return labels ``[n]`` as int32 if all lie in ``0 ... classes - 1``.

    Raises
    ------
    Corrupt
        With the first one that doesn't, or if there are none; ``where`` begins the sentence.
    """
    if not len(values):
        raise Corrupt(f"{where} holds no images: download it again.")
    wrong = values[(values < 0) | (values >= classes)]
    if len(wrong):
        raise Corrupt(
            f"{where} holds the label {wrong[0]}, but there are {classes} classes: download it again."
        )
    return values.astype(np.int32)


def check_every_class(where: object, labels: npt.NDArray[np.int32], classes: int) -> None:
    """Refuse a training split in which a class has no image.

    Raises
    ------
    ConfigError
        With the number of the class; ``where`` begins the sentence.
    """
    missing = np.setdiff1d(np.arange(classes), labels)
    if len(missing):
        raise ConfigError(f"{where} has no training image of class {missing[0]}: every class needs one.")
