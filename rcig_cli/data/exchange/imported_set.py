"""A distilled set from a file, checked against the data set that it was distilled from.

Shapes, types and the number of images are checked before values are read, so that reading a file takes no
more memory than a distilled set of the data set needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.records import Array, DatasetInfo, LazyArray, SetFile, Space, check_count
from rcig_cli.data.sources.class_names import class_numbers
from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError, shorten

# Names of the two arrays of a set: those of rcig, and those of the published checkpoints.
_NAMES = (("images", "labels"), ("x_proto", "y_proto"))


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
        int32 ``[n]``, each of 0 to C - 1 equally often.
    space
        What the values of the images are.
    """

    images: Array
    labels: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    space: Space

    def inputs(self, whitening: Whitening) -> npt.NDArray[np.float32]:
        """Turn the images into network inputs, ``[n, H, W, c]``; whitened float32 ones stay unchanged.

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
        if self.space == "pixels":
            if values.min() < 0 or values.max() > 1:
                raise ConfigError(
                    f"The images have values between {values.min():g} and {values.max():g}, but float pixels "
                    "must be between 0 and 1: rescale them, save them as uint8, or pass another --space."
                )
            return whitening.apply_unit(values)
        if self.space == "whitened":
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            return _finite("The images, once whitened,", whitening.whiten(values))


def check_set(file: SetFile, dataset: DatasetInfo, space: Space | None) -> ImportedSet:
    """Check what a file declares, then read its arrays.

    Parameters
    ----------
    file
        The file's contents.
    dataset
        The data set.
    space
        What the user says the images are; it overrides what the file says.

    Raises
    ------
    ConfigError
        If shapes, classes, counts, types or values don't fit the data set, or ``space`` isn't known.
    Corrupt
        If the data are damaged.
    """
    path, (images, labels) = file.path, _pair(file)
    classes = file.arrays.get("classes")
    channels_first = _check_images(path, images, dataset)
    if classes is not None and (classes.shape != images.shape[:1] or classes.dtype.kind not in "iu"):
        raise ConfigError(f"{path}: classes must be one whole number for each image.")
    known = space or file.space or ("pixels" if images.dtype == np.uint8 else None)
    if known is None:
        raise ConfigError(
            f"{path} doesn't say what its images are: add --space whitened, --space normalized "
            "(means and deviations removed, not whitened) or --space pixels (0 to 1)."
        )
    soft, numbers = _read_labels(path, labels, images.shape[0], dataset)
    if classes is not None:
        numbers = _read_classes(path, classes, dataset)
    elif numbers is None:
        numbers = soft.argmax(axis=1).astype(np.int32)
    _check_balance(path, numbers, dataset)
    values = images.read()
    if channels_first:
        values = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
    order = np.argsort(numbers, kind="stable")
    return ImportedSet(values.reshape(-1, *dataset.shape)[order], soft[order], numbers[order], known)


def _pair(file: SetFile) -> tuple[LazyArray, LazyArray]:
    for images, labels in _NAMES:
        if images in file.arrays and labels in file.arrays:
            return file.arrays[images], file.arrays[labels]
    raise ConfigError(
        f"{file.path} has no arrays images and labels (or x_proto and y_proto): save both under these names."
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
    if last and first and not flat:
        raise ConfigError(
            f"{path} has images of the shape {found}, so the channels may be the first or the last axis: "
            "such sets can't be imported."
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


def _check_balance(path: Path, classes: npt.NDArray[np.int32], dataset: DatasetInfo) -> None:
    counts = np.bincount(classes, minlength=len(dataset.class_names))
    if counts.min() != counts.max():
        fewest, most = int(counts.argmin()), int(counts.argmax())
        raise ConfigError(
            f"{path} has {counts[fewest]} images of class {dataset.class_names[fewest]!r} and {counts[most]} "
            f"of {dataset.class_names[most]!r}: all {len(counts)} classes need the same number."
        )


def _finite(what: str, values: Array) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        raise ConfigError(f"{what} contain NaN or infinities: save finite numbers.")
    return floats
