"""A distilled set from a file, checked against the data set that it was distilled from, in its class order.

Shapes, types and the number of images are checked before values are read, so that reading a file takes no
more memory than a distilled set of the data set needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.class_order import class_order
from rcig_cli.data.exchange.dc_statistics import dc_statistics
from rcig_cli.data.exchange.kornia_zca import KorniaZca
from rcig_cli.data.exchange.records import (
    STORED,
    Array,
    DatasetInfo,
    LazyArray,
    SetFile,
    Space,
    check_count,
)
from rcig_cli.data.sources.class_names import class_numbers
from rcig_cli.data.sources.source import Note
from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError, listed, shorten

# Names of the two arrays of a set: those of rcig, of the published checkpoints, and of the code of DC.
_NAMES = (("images", "labels"), ("x_proto", "y_proto"), ("image_syn", "label_syn"))

_SHOWN = 4  # names of arrays in a message
_LARGEST_TARGET = 4.0  # learned regression targets stay below, logits of a trained network don't


@dataclass(frozen=True, eq=False)
class ImportedSet:
    """A distilled set from a file, of the data set's shape and classes.

    Attributes
    ----------
    images
        ``[n, H, W, c]``, floats or uint8, sorted by class.
    labels
        float32 ``[n, C]``, centred where the file had class numbers.
    classes
        int32 ``[n]``, each of 0 to C - 1 at least once.
    space
        What the values of the images are.
    statistics
        The means and deviations of dc-normalized images, float32 ``[c]``; None for other spaces.
    notes
        What was assumed.
    stored
        The arrays that a parametrized set stores, not yet read; none for a raw set.
    parametrization
        The settings of a parametrized set, not yet checked; None for a raw set.
    """

    images: Array
    labels: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    space: Space
    statistics: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None
    notes: tuple[Note, ...] = ()
    stored: Mapping[str, LazyArray] = field(default_factory=dict)
    parametrization: Mapping[str, Any] | None = None

    def inputs(
        self, whitening: Whitening, kornia_zca: Callable[[], KorniaZca] | None = None
    ) -> npt.NDArray[np.float32]:
        """Turn the images into network inputs, ``[n, H, W, c]``; whitened float32 ones stay unchanged.

        Parameters
        ----------
        whitening
            That of the data set.
        kornia_zca
            Fits kornia's whitening to the data set; called only for ``kornia-zca`` images.

        Raises
        ------
        ConfigError
            If their values don't fit ``space``, or aren't finite.
        """
        images = self.images
        if images.dtype == np.uint8:
            if self.space != "pixels":
                raise ConfigError(
                    f"The images are uint8, so they are pixels, not {self.space}: pass --space pixels."
                )
            return whitening.apply(images)
        values = _finite("The images", images)
        if self.space == "whitened":
            return values
        if self.space == "pixels" and (values.min() < 0 or values.max() > 1):
            raise ConfigError(
                f"The images have values between {values.min():g} and {values.max():g}, but float pixels "
                "must be between 0 and 1: rescale them, save them as uint8, or pass another --space."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            if self.space == "normalized":
                found = whitening.whiten(values)
            elif self.space == "kornia-zca":
                assert kornia_zca is not None
                found = whitening.apply_unit(kornia_zca().invert(values))
            elif self.statistics is not None:
                mean, std = self.statistics
                found = whitening.apply_unit(values * std + mean)
            else:
                found = whitening.apply_unit(values)
            return _finite("The images, once converted,", found)


def check_set(
    file: SetFile, dataset: DatasetInfo, space: Space | None, class_names: Sequence[str] | None = None
) -> ImportedSet:
    """Check what a file declares, then read its arrays and put its classes in the data set's order.

    Parameters
    ----------
    file
        The file's contents.
    dataset
        The data set.
    space
        What the user says the images are; it overrides what the file says.
    class_names
        What the user says the classes are, in the order of the file's class numbers, or of its class names as
        sorted texts; overrides the file too.

    Raises
    ------
    ConfigError
        If shapes, classes, counts, types or values don't fit the data set, or ``space`` isn't known.
    Corrupt
        If the data are damaged.
    """
    path, (images, labels) = file.path, _pair(file)
    channels_first = _check_images(path, images, dataset)
    names = class_names or class_names_of(file)
    if labels.dtype.kind == "U" and labels.shape == images.shape[:1]:
        labels = LazyArray.of(np.unique(labels.read(), return_inverse=True)[1])
    order, notes = class_order(path, names, dataset, given=class_names is not None)
    known, space_notes = _space(file, images, space)
    statistics = dc_statistics(dataset.name, dataset.shape[2]) if known == "dc-normalized" else None
    soft, numbers = _read_labels(path, labels, images.shape[0], dataset)
    soft = soft[:, np.argsort(order)]
    if "classes" in file.arrays:
        numbers = _read_classes(path, _one_for_each(path, file.arrays["classes"], images), dataset)
    classes = order[numbers] if numbers is not None else soft.argmax(axis=1).astype(np.int32)
    _check_classes(path, classes, dataset)
    values = images.read()
    if channels_first:
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
        space_notes += (Note("layout", f"The images of {path} were read as [n, c, H, W]."),)
    by_class = np.argsort(classes, kind="stable")
    in_order = all(np.array_equal(each, np.arange(len(each))) for each in (order, by_class))
    stored, stored_notes = _stored(file, known, in_order=in_order)
    return ImportedSet(
        values.reshape(-1, *dataset.shape)[by_class],
        soft[by_class],
        classes[by_class],
        known,
        statistics,
        file.notes + notes + space_notes + _label_notes(path, soft) + stored_notes,
        stored,
        file.parametrization if stored else None,
    )


def class_names_of(file: SetFile) -> tuple[str, ...] | None:
    """Return the names of a file's classes in the order of its class numbers; None if it has only numbers.

    Labels that are texts are these names, in alphabetical order.
    """
    _, labels = _pair(file)
    if labels.dtype.kind == "U" and len(labels.shape) == 1:
        return tuple(map(str, np.unique(labels.read())))
    return file.class_names


def _space(file: SetFile, images: LazyArray, given: Space | None) -> tuple[Space, tuple[Note, ...]]:
    """What the values of the images are, and how that is known."""
    if given is not None and file.space not in (None, given):
        text = f"{file.path} says that its images are {file.space}; --space {given} overrides that."
        return given, (Note("range", text),)
    known = given or file.space
    if known is not None:
        return known, ()
    if images.dtype == np.uint8:
        text = f"The images of {file.path} are uint8, so they are taken as pixels."
        return "pixels", (Note("range", text),)
    raise ConfigError(
        f"{file.path} doesn't say what its images are: add --space whitened (as RCIG and FRePo save them), "
        "dc-normalized (DC, DSA, DM; MTT without ZCA), kornia-zca (MTT and DATM with ZCA), normalized (with "
        "the means and deviations of the data set) or pixels (0 to 1)."
    )


def _stored(
    file: SetFile, space: Space, *, in_order: bool
) -> tuple[Mapping[str, LazyArray], tuple[Note, ...]]:
    """What a parametrized set stores; nothing where its decoded images are to be changed or reordered."""
    if file.parametrization is None:
        return {}, ()
    stored = {n.removeprefix(STORED): array for n, array in file.arrays.items() if n.startswith(STORED)}
    if not stored:
        raise ConfigError(
            f"{file.path} has the settings of a parametrization but no arrays {STORED}...: export the set "
            "again, or save it without parametrization as a raw set."
        )
    if space == "whitened" and in_order:
        return stored, ()
    why = "its classes are in another order" if space == "whitened" else f"its images are taken as {space}"
    text = f"Only the decoded images of {file.path} are imported, as a raw set, because {why}."
    return {}, (Note("skipped", text),)


def _one_for_each(path: Path, classes: LazyArray, images: LazyArray) -> LazyArray:
    if classes.shape != images.shape[:1] or classes.dtype.kind not in "iu":
        raise ConfigError(f"{path}: classes must be one whole number for each image.")
    return classes


def _label_notes(path: Path, soft: npt.NDArray[np.float32]) -> tuple[Note, ...]:
    """Say so if soft labels look like something else than the targets of a regression."""
    used = "they are used unchanged, as targets of mean squared error."
    if soft.min() >= 0 and np.allclose(soft.sum(axis=1), 1, atol=1e-3):
        return (Note("labels", f"The labels of {path} are probabilities; {used}"),)
    if np.abs(soft).max() > _LARGEST_TARGET:
        text = f"The labels of {path} reach from {soft.min():.3g} to {soft.max():.3g}, like logits; {used}"
        return (Note("labels", text),)
    return ()


def _pair(file: SetFile) -> tuple[LazyArray, LazyArray]:
    for images, labels in _NAMES:
        if images in file.arrays and labels in file.arrays:
            return file.arrays[images], file.arrays[labels]
    raise ConfigError(
        f"{file.path} has no arrays images and labels (or x_proto and y_proto): save both under these names. "
        f"It has {listed([*map(shorten, file.arrays)], _SHOWN) or 'no arrays'}."
    )


def _check_images(path: Path, images: LazyArray, dataset: DatasetInfo) -> bool:
    """Return whether the images are ``[n, c, H, W]``."""
    count, found = images.shape[0] if images.shape else 0, images.shape[1:]
    height, width, channels = dataset.shape
    flat = channels == 1 and found in {(height, width), (height, width, 1), (1, height, width)}
    last, first = found == dataset.shape, found == (channels, height, width)
    if not (flat or last or first):
        raise ConfigError(
            f"{path} has images of the shape {shorten(found)}, but those of {dataset.name} are "
            f"{dataset.shape}: import it for the data set it was made from."
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ConfigError(f"{path} has images of type {images.dtype}: save floats, or pixels as uint8.")
    check_count(path, count, dataset)
    return not (last or flat)


def _read_labels(
    path: Path, labels: LazyArray, count: int, dataset: DatasetInfo
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32] | None]:
    """Return the labels ``[n, C]`` and, where the file has class numbers, these."""
    classes = len(dataset.class_names)
    if labels.shape not in {(count,), (count, 1), (count, classes)} or labels.dtype.kind not in "iuf":
        raise ConfigError(
            f"{path} has labels of the shape {shorten(labels.shape)} and type {labels.dtype}, but {count} "
            f"images, and {dataset.name} has {classes} classes: save class numbers, [{count}], or soft "
            f"labels, [{count}, {classes}]."
        )
    if labels.shape[1:] == (classes,):
        return _finite(f"The labels of {path}", labels.read()), None
    numbers = _read_classes(path, labels, dataset)
    return np.eye(classes, dtype=np.float32)[numbers] - np.float32(1 / classes), numbers


def _read_classes(path: Path, values: LazyArray, dataset: DatasetInfo) -> npt.NDArray[np.int32]:
    numbers = class_numbers(path, values.read().reshape(-1))
    if numbers.max() >= len(dataset.class_names):
        raise ConfigError(
            f"{path} has the label {numbers.max()}, but {dataset.name} has {len(dataset.class_names)} "
            "classes, numbered from 0."
        )
    return numbers


def _check_classes(path: Path, classes: npt.NDArray[np.int32], dataset: DatasetInfo) -> None:
    counts = np.bincount(classes, minlength=len(dataset.class_names))
    if not counts.all():
        name = dataset.class_names[int(counts.argmin())]
        raise ConfigError(f"{path} has no image of class {name!r}: every class needs one.")


def _finite(what: str, values: Array) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        raise ConfigError(f"{what} contain NaN or infinities: save finite numbers.")
    return floats
