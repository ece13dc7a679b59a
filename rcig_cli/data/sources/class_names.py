"""Names of classes, and the check of names and labels that come from files.

A WordNet code ("synset") is ``n`` and eight digits: ``n01440764`` is the tench.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.known import KNOWN, published_order
from rcig_cli.data.sources.source import SPLITS, Note, Split
from rcig_cli.errors import ConfigError, listed

MOST_CLASSES = 100_000
_LONGEST_NAME = 1000  # characters
_LISTED = 12  # at most so many names are listed in a message

_SYNSET = re.compile(r"n\d{8}")
_BIRD = re.compile(r"\d{3}\.([^\W\d].*)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True)
class Classes:
    """The classes of a data set whose files name them.

    Attributes
    ----------
    found
        The names in the files, in the order of the labels.
    names
        The names of the classes, in that order.
    notes
        How the order and the names were chosen.
    """

    found: tuple[str, ...]
    names: tuple[str, ...]
    notes: tuple[Note, ...] = ()


def ordered_classes(where: object, dataset: str, found: Collection[str]) -> Classes:
    """Order the names of classes that were found in files, such as those of folders.

    Numbers are sorted as numbers, other names alphabetically.  The classes of a known data set have their
    published order and names: names are matched without regard to case, spaces and punctuation, and if
    they are the numbers from 0 to the number of classes less one, they number the published names.

    Parameters
    ----------
    where
        Begins the sentence of an error.
    dataset
        Name of the data set in the store.
    found
        The names, all distinct.

    Raises
    ------
    ConfigError
        If the data set is known and has no such class.
    """
    numeric = all(_NUMBER.fullmatch(name) for name in found)
    order = tuple(sorted(found, key=lambda name: (float(name), name) if numeric else (0.0, name)))
    known = KNOWN.get(dataset)
    published = published_order(dataset)
    if not published:
        names = readable(order)
        return Classes(order, names, (Note("classes", _how_sorted(order, names, numeric)),))
    numbers = {_plain(name): number for number, name in enumerate(published)}
    assert known is not None
    numbers |= {_plain(code): number for number, code in enumerate(known.synsets)}
    numbers |= {_plain(other): numbers[_plain(name)] for other, name in known.other_names.items()}
    if numeric and sorted(map(float, order)) == list(range(len(published))):
        return Classes(
            order, published, (Note("classes", f"Classes are numbered as {known.name} publishes them."),)
        )
    odd = [name for name in order if _plain(name) not in numbers]
    if odd or len({numbers[_plain(name)] for name in order}) < len(order):
        raise ConfigError(
            f"{where} has the class {(odd or order)[0]!r}, and the classes of {known.name} are "
            f"{listed(published, _LISTED)}: prepare other data under another name."
        )
    order = tuple(sorted(order, key=lambda name: numbers[_plain(name)]))
    names = tuple(published[numbers[_plain(name)]] for name in order)
    text = f"Classes have the names and the order in which {known.name} publishes them"
    if len(order) < len(published):
        text += f"; only {len(order)} of its {len(published)} are there"
    return Classes(order, names, (Note("classes", text + "."),))


def _plain(name: str) -> str:
    """A name without case, spaces and punctuation, and numbers without leading zeros.

    A name without letters and digits stays as it is, so that it is no known class.
    """
    plain = "".join(filter(str.isalnum, name.casefold()))
    return (plain.lstrip("0") or "0") if plain else name


def _how_sorted(found: Sequence[str], names: Sequence[str], numeric: bool) -> str:
    text = f"Classes are sorted {'as numbers' if numeric else 'by name'}."
    return (
        text
        if tuple(found) == tuple(names)
        else f"{text} Their names in the files are {listed(found, _LISTED)}."
    )


def published_names(dataset: str, count: int) -> tuple[str, ...]:
    """Return the known names of a data set's classes if there are ``count``, else "0", "1", and so on."""
    names = KNOWN[dataset].class_names if dataset in KNOWN else ()
    return names if len(names) == count else tuple(map(str, range(count)))


def readable(names: Sequence[str], words: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Replace WordNet codes by words, and strip the numbers off the names of CUB-200-2011's birds.

    Parameters
    ----------
    names
        Names of classes; they stay unless all of them have the one form or the other.
    words
        Synonyms by code, separated by commas; those of ImageNette and ImageWoof are known.

    Returns
    -------
    tuple of str
        As many names, all distinct: the first synonym; if classes share it, all their synonyms; if those
        are the same, the name as given.  If any code is unknown, nothing changes.
    """
    known = {code: text for row in KNOWN.values() for code, text in row.synsets.items()} | dict(words or {})
    birds = [_BIRD.fullmatch(name) for name in names]
    if all(_SYNSET.fullmatch(name) and name in known for name in names):
        full = [known[name] for name in names]
        short = [text.split(",")[0].strip() or text for text in full]
    else:
        cut = tuple(bird.group(1).replace("_", " ") for bird in birds if bird)
        return cut if len(set(cut)) == len(names) else tuple(names)
    for longer in (full, list(names)):
        count = Counter(short)
        short = [best if count[best] == 1 else other for best, other in zip(short, longer, strict=True)]
    return tuple(short) if len(set(short)) == len(short) else tuple(names)


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
    present = np.zeros(classes, np.bool_)
    present[labels["train"]] = True
    missing = np.flatnonzero(~present)
    if len(missing):
        raise ConfigError(
            f"{where} has no training image of the class {class_names[missing[0]]!r}: every class needs one."
        )
