"""Names of classes, and the check of names and labels that come from files.

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
from rcig_cli.data.sources.source import SPLITS, Split
from rcig_cli.errors import ConfigError

MOST_CLASSES = 100_000
_LONGEST_NAME = 1000  # characters

_SYNSET = re.compile(r"n\d{8}")
_BIRD = re.compile(r"\d{3}\.(.+)")


def published_names(dataset: str, count: int) -> tuple[str, ...]:
    """Return the known names of a data set's classes if there are ``count``, else "0", "1", and so on."""
    names = KNOWN[dataset].class_names if dataset in KNOWN else ()
    return names if len(names) == count else tuple(map(str, range(count)))


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
    if not all(name in known for name in names if _SYNSET.fullmatch(name)):
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


def class_numbers(where: object, values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return labels ``[n]`` of any numeric type as int32 if they are whole numbers below `MOST_CLASSES`.

    Raises
    ------
    ConfigError
        If they aren't; ``where`` begins the sentence.
    """
    if values.dtype.kind not in "iuf":
        raise ConfigError(f"{where} has labels of type {values.dtype}: save classes as 0, 1, 2, ...")
    usable = (values >= 0) & (values < MOST_CLASSES)
    if values.dtype.kind == "f":
        usable &= values == np.rint(values)
    wrong = values[~usable]
    if len(wrong):
        raise ConfigError(
            f"{where} has the label {wrong[0]:g}: save classes as 0, 1, 2, ... (at most {MOST_CLASSES})."
        )
    return values.astype(np.int32)


def check_classes(
    where: object, class_names: Sequence[str], labels: Mapping[Split, npt.NDArray[np.int32]]
) -> None:
    """Check what a data set's files say about its classes.

    There must be two or more, with printable names of at most 1000 characters.  The names must be distinct,
    also once Unicode is composed (NFC), because names that differ only in that look the same.  Both splits
    need images, all labels must number a class, and each class needs a training image.

    Raises
    ------
    ConfigError
        With the first thing wrong; ``where`` begins the sentence.
    """
    classes = len(class_names)
    if classes < 2:
        raise ConfigError(f"{where} has a single class: at least two are needed.")
    if not all(name.isprintable() and 0 < len(name) <= _LONGEST_NAME for name in class_names):
        raise ConfigError(f"{where} has empty, unprintable or overlong names of classes: rename them.")
    if len({unicodedata.normalize("NFC", name) for name in class_names}) != classes:
        raise ConfigError(f"{where} has repeated names of classes: give each class a name of its own.")
    for split in SPLITS:
        if not len(labels[split]):
            raise ConfigError(f"{where} has no images in its {split} split: both splits need some.")
        wrong = labels[split][(labels[split] < 0) | (labels[split] >= classes)]
        if len(wrong):
            raise ConfigError(
                f"{where} has the label {wrong[0]} but {classes} classes, numbered from 0: "
                "check its files, or download it again."
            )
    missing = np.setdiff1d(np.arange(classes), labels["train"])
    if len(missing):
        raise ConfigError(
            f"{where} has no training image of the class {class_names[missing[0]]!r}: every class needs one."
        )
