"""The classes that labels stand for, in arrays and in tables.

Labels are whole numbers or texts, or rows with a single 1 (one-hot).  Whole numbers from 0 without a gap are
the numbers of the classes.  All other values are the names of the classes, in numeric or alphabetical order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.class_names import MOST_CLASSES, ordered_classes, published_names, readable
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import Note, Split
from rcig_cli.errors import ConfigError

_PIECE = 2**20  # labels that are looked up at a time

Classes = tuple[tuple[str, ...], dict[Split, npt.NDArray[np.int32]], tuple[Note, ...]]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a split.

    Attributes
    ----------
    values
        The different labels: numbers, texts or bytes.
    numbers
        int32 ``[n]``: which of them each image has; -1 if it has none.
    """

    values: Sequence[Any]
    numbers: npt.NDArray[np.int32]

    def used(self) -> list[int]:
        """Return the numbers that images have, none of which is -1."""
        there = np.zeros(len(self.values), np.bool_)
        there[self.numbers] = True
        return np.flatnonzero(there).tolist()

    def select(self, rows: npt.NDArray[np.bool_]) -> Labels:
        """Return the labels of ``rows``, bool ``[n]``."""
        return Labels(self.values, self.numbers[rows])


def labels_of(where: object, array: npt.NDArray[Any], count: int) -> tuple[Labels, tuple[Note, ...]]:
    """Read the labels of ``count`` images from an array of labels, ``[n]``, or of one-hot rows, ``[n, C]``.

    Raises
    ------
    ConfigError
        If there are as many neither of labels nor of rows, or a row has several classes or none.
    """
    if array.dtype.kind not in "biufSU":
        raise ConfigError(f"{where} has labels of type {array.dtype}: save whole numbers or texts.")
    notes: tuple[Note, ...] = ()
    if array.size == count == max(array.shape, default=1):
        array = array.reshape(-1)
    elif array.ndim != 2 or len(array) != count or array.dtype.kind in "SU":
        raise ConfigError(f"{where} has the shape {array.shape}: {count} images need {count} labels, [n].")
    elif not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
        raise ConfigError(
            f"{where} has rows of {array.shape[1]} values that don't have a single 1, so images have "
            "several classes or none: save one class for each image."
        )
    else:
        text = f"The position of the 1 in each row of {array.shape[1]} values is the class (one-hot labels)."
        array, notes = array.argmax(axis=1), (Note("labels", text),)
    values = np.unique(array)
    _check_count(where, len(values))
    numbers = np.empty(count, np.int32)
    for start in range(0, count, _PIECE):
        numbers[start : start + _PIECE] = np.searchsorted(values, array[start : start + _PIECE])
    return Labels(values.tolist(), numbers), notes


def classes_of(
    name: str, where: object, labels: Mapping[Split, Labels], given: Sequence[str] | None = None
) -> Classes:
    """Find the classes of labels.

    Parameters
    ----------
    name
        The data set's name in the store; the classes of a known one have published names.
    where
        The file or folder, for errors.
    labels
        The labels of each split; every image has one.
    given
        The names of the classes, if the data have them, in order: labels are these names, or their numbers
        from 0 or from 1.

    Returns
    -------
    class_names : tuple of str
    labels : dict
        int32 ``[n]`` of each split.
    notes : tuple of Note
        What was assumed.

    Raises
    ------
    ConfigError
        If the labels don't stand for classes.
    """
    used = {
        split: {number: _plain(where, some.values[number]) for number in some.used()}
        for split, some in labels.items()
    }
    present: set[Any] = {value for some in used.values() for value in some.values()}
    _check_count(where, len(present))
    if len({type(value) for value in present}) > 1:
        raise ConfigError(f"{where} has labels of different types, numbers and texts: save one type.")
    if given is not None:
        names, places, notes = _given(where, sorted(present), given)
    elif any(isinstance(value, str) for value in present):
        names, places, notes = _ordered(name, where, {value: value for value in present})
    else:
        names, places, notes = _numbers(name, where, sorted(present))
    numbers = {}
    for split, some in labels.items():
        order = np.zeros(len(some.values), np.int32)
        order[[*used[split]]] = [places[value] for value in used[split].values()]
        numbers[split] = order[some.numbers]
    return names, numbers, notes


_Found = tuple[tuple[str, ...], dict[Any, int], tuple[Note, ...]]  # names, the label of each value, notes


def _check_count(where: object, count: int) -> None:
    if count > MOST_CLASSES:
        raise ConfigError(f"{where} has {count} different labels: at most {MOST_CLASSES} are allowed.")


def _plain(where: object, value: Any) -> int | str:
    """Return a label as a whole number or a text."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where} has labels that aren't UTF-8: save them as str.") from error
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return int(value)
    raise ConfigError(f"{where} has the label {value}: save whole numbers or texts.")


def _given(where: object, present: Sequence[Any], given: Sequence[str]) -> _Found:
    """Labels are the given names, or the numbers of these."""
    notes: tuple[Note, ...] = ()
    numbers: dict[Any, int] = {text: number for number, text in enumerate(given)}
    if not isinstance(present[0], str):
        first = int(present[0] == 1 and present[-1] == len(given))
        numbers = {number + first: number for number in range(len(given))}
        if first:
            text = f"Labels count the classes from 1: 1 is {given[0]}, {len(given)} is {given[-1]}."
            notes += (Note("classes", text),)
    unknown = [value for value in present if value not in numbers]
    if unknown:
        raise ConfigError(
            f"{where} has the label {str(unknown[0])[:80]!r}, for which its list of {len(given)} classes has "
            "no name: correct the list or the labels."
        )
    used = sorted(numbers[value] for value in present)
    if len(used) < len(given):
        unused = [text for number, text in enumerate(given) if number not in set(used)]
        notes += (Note("classes", f"Classes without images, left out: {', '.join(unused[:20])}."),)
    places = {number: place for place, number in enumerate(used)}
    names = readable([given[number] for number in used])
    return names, {value: places[numbers[value]] for value in present}, notes


def _ordered(name: str, where: object, texts: Mapping[Any, str]) -> _Found:
    """Each label, as a text, is the name of a class."""
    classes = ordered_classes(where, name, texts.values())
    places = {text: number for number, text in enumerate(classes.found)}
    return classes.names, {value: places[text] for value, text in texts.items()}, classes.notes


def _numbers(name: str, where: object, values: list[int]) -> _Found:
    """Labels are whole numbers, and their classes have no names."""
    if values == list(range(len(values))):
        return published_names(name, len(values)), {value: value for value in values}, ()
    for marker in (-1, 255):  # 255 is -1 in 8 bits
        rest = [value for value in values if value != marker]
        if rest != values and len(rest) > 1 and rest == list(range(len(rest))):
            raise ConfigError(
                f"{where} has the labels 0 to {rest[-1]} and {marker}, which often marks images without a "
                f"class: remove these images, or, if they are a class, give it the number {len(rest)}."
            )
    if name in KNOWN:
        raise ConfigError(
            f"{where} has labels from {values[0]} to {values[-1]}, but the {KNOWN[name].classes} classes of "
            f"{name} are numbered from 0: save them so, or prepare the data under another name."
        )
    return _ordered(name, where, {value: str(value) for value in values})
