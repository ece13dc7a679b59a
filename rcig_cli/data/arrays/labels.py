"""The classes that arrays of labels stand for.

Labels are whole numbers, texts, truth values, or rows with a single 1 (one-hot).  Whole numbers from 0
without a gap are the numbers of the classes.  All other values are the names of the classes, in numeric or
alphabetical order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.class_names import MOST_CLASSES, class_numbers, ordered_classes, published_names
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import Note, Split
from rcig_cli.errors import ConfigError

Classes = tuple[tuple[str, ...], dict[Split, npt.NDArray[np.int32]], tuple[Note, ...]]


def single_labels(
    where: object, values: npt.NDArray[Any], count: int
) -> tuple[npt.NDArray[Any], tuple[Note, ...]]:
    """Return one label for each of ``count`` images, ``[n]``, of labels or one-hot rows, ``[n, C]``.

    Raises
    ------
    ConfigError
        If there are as many neither of labels nor of rows, or a row has several classes or none.
    """
    if values.size == count == max(values.shape, default=1):
        return values.reshape(-1), ()
    if values.ndim != 2 or len(values) != count or values.dtype.kind not in "biuf":
        raise ConfigError(f"{where} has the shape {values.shape}: {count} images need {count} labels, [n].")
    if not (((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()):
        raise ConfigError(
            f"{where} has rows of {values.shape[1]} values that don't have a single 1, so images have "
            "several classes or none: save one class for each image."
        )
    text = f"The position of the 1 in each row of {values.shape[1]} values is the class (one-hot labels)."
    return values.argmax(axis=1), (Note("labels", text),)


def classes_of(
    name: str,
    where: object,
    labels: Mapping[Split, npt.NDArray[Any]],
    given: Sequence[str] | Mapping[int, str] | None = None,
) -> Classes:
    """Find the classes of labels.

    Parameters
    ----------
    name
        The data set's name in the store; the classes of a known one have published names.
    where
        The file or folder, for errors.
    labels
        ``[n]`` of each split, of any type.
    given
        The names of the classes, if the data have them, in order (labels are these names, or their numbers),
        or by label.

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
    plain = {split: _plain(where, values) for split, values in labels.items()}
    if len({values.dtype.kind.replace("u", "i") for values in plain.values()}) > 1:
        raise ConfigError(f"{where} has labels of different types for training and testing: save one type.")
    present = np.unique(np.concatenate([np.unique(values) for values in plain.values()]))
    if len(present) > MOST_CLASSES:
        raise ConfigError(f"{where} has {len(present)} different labels: at most {MOST_CLASSES} are allowed.")
    if isinstance(given, Mapping):
        return _by_label(where, plain, present.tolist(), given)
    if present.dtype.kind == "U":
        numeric = all(_is_number(text) for text in present.tolist())
        if not numeric or set(present.tolist()) <= set(given or ()):
            return _texts(name, where, plain, present.tolist(), given)
        plain, present = (
            {split: some.astype(np.int64) for split, some in plain.items()},
            present.astype(np.int64),
        )
        present.sort()
    if present.dtype.kind == "b" and given is None and name not in KNOWN:
        text = "The labels are truth values: the classes are False and True."
        return ("False", "True"), _positions(plain, [False, True]), (Note("classes", text),)
    if present.dtype.kind == "b":
        plain = {split: some.astype(np.uint8) for split, some in plain.items()}
    values = present.astype(np.int64).tolist()
    if given is not None:
        return _named(where, plain, values, given)
    if values == list(range(len(values))):
        return published_names(name, len(values)), _numbers(where, plain), ()
    for marker in (-1, 255):  # 255 is -1 in 8 bits
        rest = [value for value in values if value != marker]
        if rest != values and len(rest) > 1 and rest == list(range(len(rest))):
            raise ConfigError(
                f"{where} has the labels 0 to {rest[-1]} and {marker}, which often marks images without a "
                f"class: remove these images, or save {len(rest)} instead."
            )
    return _values(name, where, plain, values)


def _plain(where: object, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels as bool, whole numbers or str."""
    kind = values.dtype.kind
    if kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where} has labels that aren't UTF-8: save them as str.") from error
    if kind in "US":
        return values
    if kind not in "biuf":
        raise ConfigError(f"{where} has labels of type {values.dtype}: save whole numbers or texts.")
    if kind == "f":
        wrong = values[~(np.isfinite(values) & (values == np.rint(values)) & (abs(values) < 2**53))]
        if len(wrong):
            raise ConfigError(f"{where} has the label {wrong[0]:g}: save whole numbers or texts.")
        return values.astype(np.int64)
    if values.dtype.itemsize == 8 and kind == "u":
        if len(values) and values.max() >= 2**63:
            raise ConfigError(f"{where} has the label {values.max()}: save smaller numbers.")
        return values.astype(np.int64)
    return values


def _is_number(text: str) -> bool:
    return len(text) < 16 and text.removeprefix("-").isdecimal() and str(int(text)) == text


def _numbers(where: object, labels: Mapping[Split, npt.NDArray[Any]]) -> dict[Split, npt.NDArray[np.int32]]:
    return {split: class_numbers(where, values) for split, values in labels.items()}


def _named(
    where: object, labels: Mapping[Split, npt.NDArray[Any]], values: list[int], given: Sequence[str]
) -> Classes:
    """Labels are numbers of the given names, from 0 or from 1."""
    if values[0] != 1 or values[-1] != len(given):
        return tuple(given), _numbers(where, labels), ()
    text = f"Labels count the classes from 1: 1 is {given[0]}, {values[-1]} is {given[-1]}."
    from_zero = {split: some - 1 for split, some in labels.items()}
    return tuple(given), _numbers(where, from_zero), (Note("classes", text),)


def _by_label(
    where: object, labels: Mapping[Split, npt.NDArray[Any]], values: list[Any], given: Mapping[int, str]
) -> Classes:
    """Each label has a name of its own."""
    for value in values:
        if value not in given:
            raise ConfigError(f"{where} has the label {value}, for which its list of classes has no name.")
    names = tuple(given[value] for value in values)
    text = f"The labels {values[0]} to {values[-1]} are the classes {names[0]} to {names[-1]}."
    return names, _positions(labels, values), (Note("classes", text),)


def _values(name: str, where: object, labels: Mapping[Split, npt.NDArray[Any]], values: list[int]) -> Classes:
    """Labels are whole numbers that don't count the classes from 0."""
    known = KNOWN.get(name)
    if known is None:
        classes = ordered_classes(where, name, [str(value) for value in values])
        return classes.names, _positions(labels, values), classes.notes
    from_one = values == list(range(1, len(values) + 1))
    if from_one or values[0] < 0 or values[-1] >= known.classes:
        raise ConfigError(
            f"{where} has labels from {values[0]} to {values[-1]}, but the {known.classes} classes of "
            f"{name} are numbered from 0: save them so, or prepare the data under another name."
        )
    numbered = known.class_names or tuple(map(str, range(known.classes)))
    text = f"Labels are the numbers of {len(values)} of the {known.classes} classes of {name}."
    return tuple(numbered[value] for value in values), _positions(labels, values), (Note("classes", text),)


def _texts(
    name: str,
    where: object,
    labels: Mapping[Split, npt.NDArray[Any]],
    texts: list[str],
    given: Sequence[str] | None,
) -> Classes:
    """Labels are the names of the classes."""
    if given is None:
        classes = ordered_classes(where, name, texts)
        names, found, notes = classes.names, classes.found, classes.notes
    else:
        names = found = tuple(given)
        notes = ()
    places = {text: number for number, text in enumerate(found)}
    unknown = [text for text in texts if text not in places]
    if unknown:
        raise ConfigError(f"{where} has the label {unknown[0][:80]!r}, which is not in its list of classes.")
    numbers = np.array([places[text] for text in texts], dtype=np.int32)
    return names, {split: numbers[np.searchsorted(texts, some)] for split, some in labels.items()}, notes


def _positions(
    labels: Mapping[Split, npt.NDArray[Any]], values: Sequence[Any]
) -> dict[Split, npt.NDArray[np.int32]]:
    return {split: np.searchsorted(values, some).astype(np.int32) for split, some in labels.items()}
