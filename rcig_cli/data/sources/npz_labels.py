"""Labels and class names of an ``.npz`` file, checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.class_names import MOST_CLASSES, check_every_class, misnamed
from rcig_cli.data.sources.npz_member import Member
from rcig_cli.errors import ConfigError


def read_labels(labels: Member, images: Member) -> npt.NDArray[np.int32]:
    """Read the labels of one split.

    Parameters
    ----------
    labels, images
        The two arrays of the split.

    Returns
    -------
    ndarray
        int32 ``[n]``, none negative.

    Raises
    ------
    ConfigError
        If they are no whole numbers from 0, or not one per image.
    Corrupt
        If the data are damaged.
    """
    where = f"{labels.path}: {labels.key}"
    count = images.shape[0]
    if labels.shape not in ((count,), (count, 1)):
        raise ConfigError(f"{where} has the shape {labels.shape}: {images.key} needs {count} labels, [n].")
    if labels.dtype.kind not in "iuf":
        raise ConfigError(f"{where} is of type {labels.dtype}: labels are whole numbers from 0.")
    values = labels.read().reshape(-1)
    check_class_numbers(where, values)
    return values.astype(np.int32)


def check_class_numbers(where: str, values: npt.NDArray[Any]) -> None:
    """Refuse labels ``[n]`` that don't count classes from 0.

    Raises
    ------
    ConfigError
        With the first thing wrong; ``where`` begins the sentence.
    """
    if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
        raise ConfigError(f"{where} holds labels that aren't whole numbers: labels count classes from 0.")
    if values.min() < 0:
        raise ConfigError(f"{where} holds the negative label {values.min():g}: labels count classes from 0.")
    if values.max() >= MOST_CLASSES:
        raise ConfigError(
            f"{where} holds the label {values.max():g}: at most {MOST_CLASSES} classes can be used."
        )


def read_class_names(
    path: Path, names: Member | None, labels: Mapping[Any, npt.NDArray[np.int32]]
) -> tuple[str, ...]:
    """Read the names of the classes, or number them.

    Parameters
    ----------
    path
        The file.
    names
        The array ``class_names``, if there is one.
    labels
        The labels, by split.

    Returns
    -------
    tuple of str
        One name per class.

    Raises
    ------
    ConfigError
        If names are not distinct texts, a label has none, or a class has no training image.
    Corrupt
        If the data are damaged.
    """
    largest = max(int(np.max(values)) for values in labels.values())
    found = class_name_texts(names) if names else tuple(map(str, range(largest + 1)))
    if len(found) <= largest:
        raise ConfigError(f"{path} has {len(found)} class_names, but a label {largest}: name every class.")
    if len(found) < 2:
        raise ConfigError(f"{path} has a single class: at least two are needed.")
    check_every_class(path, labels["train"], len(found))
    return found


def class_name_texts(member: Member) -> tuple[str, ...]:
    """Read the array ``class_names``: distinct, printable texts.

    Raises
    ------
    ConfigError, Corrupt
        As ``read_class_names``.
    """
    where = f"{member.path}: class_names"
    if member.dtype.kind not in "US" or len(member.shape) != 1:
        raise ConfigError(f"{where} is no list of texts: save numpy.array of the names.")
    if member.shape[0] > MOST_CLASSES:
        raise ConfigError(f"{where} has {member.shape[0]} names: at most {MOST_CLASSES} classes can be used.")
    texts = _texts(where, member.read())
    wrong = misnamed(texts)
    if wrong:
        raise ConfigError(f"{where} holds {wrong}: give each class its own.")
    return texts


def _texts(where: str, names: npt.NDArray[Any]) -> tuple[str, ...]:
    try:
        return tuple(map(str, np.char.decode(names, "utf-8") if names.dtype.kind == "S" else names))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where} isn't UTF-8: save the names as str.") from error
