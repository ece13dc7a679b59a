"""A distilled set in a file made elsewhere: what is declared, held against the data set, then read.

Every format gives its arrays as `Stored`: shape, type, and a way to read them.  Nothing is read before the
shapes are those of the data set, and there are no more images than a distilled set of it can have, so no
memory is taken on the word of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.npz_labels import check_class_numbers
from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError

Space = Literal["whitened", "normalized", "pixels"]
SPACES: tuple[Space, ...] = get_args(Space)

# Pairs of names that a file may have for its two arrays: ours, and the published checkpoints'.
NAMES = (("images", "labels"), ("x_proto", "y_proto"))
WHITENING = "whitening_"  # before the names of `Whitening.arrays`

_AXES_SHOWN = 8

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Target:
    """The data set that an imported set is to stand for.

    Attributes
    ----------
    name, shape, class_names
        Its name, ``(H, W, c)`` of its images, and its classes.
    most
        Images that a set of it can have.
    """

    name: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    most: int


@dataclass(frozen=True)
class Stored:
    """An array in a file, not yet read.

    Attributes
    ----------
    shape, dtype
        What the file declares, and has bytes for.
    read
        Reads it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Array]


@dataclass(frozen=True)
class Opened:
    """A file with a distilled set, not yet read.

    Attributes
    ----------
    path
        The file or folder.
    arrays
        ``images`` and ``labels`` (or ``x_proto`` and ``y_proto``), and perhaps ``classes`` and the whitening.
    space
        What its images are, where the file or its kind says so.
    class_names
        The names of its classes, where the file has them.
    files
        What was opened, where that isn't ``path`` alone.
    """

    path: Path
    arrays: Mapping[str, Stored]
    space: Space | None = None
    class_names: tuple[str, ...] | None = None
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, eq=False)
class ForeignSet:
    """A distilled set as a file has it, of the data set's shape and classes.

    Attributes
    ----------
    images
        ``[n, H, W, c]``, floats or uint8.
    labels
        float32 ``[n, C]``, centred where the file had class numbers.
    classes
        int32 ``[n]``, each from 0 to C - 1 and as often as any other; the images are in their order.
    space
        What the images are.
    """

    images: Array
    labels: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    space: Space

    def inputs(self, whitening: Whitening) -> npt.NDArray[np.float32]:
        """Turn the images into network inputs, ``[n, H, W, c]``; whitened float32 ones come back as they are.

        Raises
        ------
        ConfigError
            If they can't be what ``space`` says, or aren't finite.
        """
        images = self.images
        if images.dtype == np.uint8:
            if self.space != "pixels":
                raise ConfigError(f"The images are of type uint8: these are pixels, not {self.space}.")
            return whitening.apply(images)
        values = _finite("The images", images)
        if self.space == "pixels":
            _check_unit(values)
            return whitening.apply_unit(values)
        if self.space == "whitened":
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            return _finite("The images, once whitened,", whitening.whiten(values))


def read_set(opened: Opened, target: Target, space: Space | None) -> ForeignSet:
    """Read a set, once all that the file declares is as the data set needs it.

    Parameters
    ----------
    opened
        The file.
    target
        The data set.
    space
        What the user says the images are; it counts more than what the file says.

    Raises
    ------
    ConfigError
        If shapes, classes, counts, types or values can't be, or nobody says what the images are.
    Corrupt
        If the data are damaged.
    """
    images, labels = _pair(opened)
    classes = opened.arrays.get("classes")
    to_nhwc = _check_images(opened.path, images, target)
    _check_labels(opened.path, labels, images.shape[0], target)
    if classes is not None and (classes.shape != images.shape[:1] or classes.dtype.kind not in "iu"):
        raise ConfigError(f"{opened.path}: classes must be one whole number for each of the images.")
    known = space or opened.space or ("pixels" if images.dtype == np.uint8 else None)
    if known is None:
        raise ConfigError(
            f"{opened.path} doesn't say what its images are: add --space whitened, --space normalized "
            "(means and deviations removed, not whitened) or --space pixels (0 to 1)."
        )
    found = None if classes is None else _whole_numbers(opened.path, classes.read(), target)
    soft, numbers = _soft_labels(opened.path, labels.read(), target)
    if found is None:
        found = soft.argmax(axis=1).astype(np.int32) if numbers is None else numbers
    _check_balance(opened.path, found, target)
    order = np.argsort(found, kind="stable")
    return ForeignSet(to_nhwc(images.read())[order], soft[order], found[order], known)


def _pair(opened: Opened) -> tuple[Stored, Stored]:
    for images, labels in NAMES:
        if images in opened.arrays and labels in opened.arrays:
            return opened.arrays[images], opened.arrays[labels]
    raise ConfigError(
        f"{opened.path} has no arrays images and labels (or x_proto and y_proto): save both so named."
    )


def _check_images(path: Path, images: Stored, target: Target) -> Callable[[Array], Array]:
    """Return what turns the images into ``[n, H, W, c]``."""
    count, found = images.shape[0] if images.shape else 0, images.shape[1:]
    height, width, channels = target.shape
    flat = channels == 1 and found in {(height, width), (height, width, 1), (1, height, width)}
    last, first = found == target.shape, found == (channels, height, width)
    if not (flat or last or first):
        raise ConfigError(
            f"{path} has images of the shape {_times(found)}, and those of {target.name} are "
            f"{_times(target.shape)}: import it for the data set it was made from."
        )
    if last and first and not flat:
        raise ConfigError(f"{path}: with {_times(found)} nobody can tell whether the channels come last.")
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ConfigError(f"{path} has images of type {images.dtype}: save floats, or pixels as uint8.")
    if not 1 <= count <= target.most:
        raise ConfigError(
            f"{path} holds {count} images; a distilled set of {target.name} has 1 to {target.most}."
        )
    if last or flat:
        return lambda values: values.reshape(count, *target.shape)
    return lambda values: np.ascontiguousarray(values.transpose(0, 2, 3, 1))


def _check_labels(path: Path, labels: Stored, count: int, target: Target) -> None:
    classes = len(target.class_names)
    if len(labels.shape) not in (1, 2) or labels.shape[0] != count:
        raise ConfigError(f"{path} has {count} images, but labels of the shape {_times(labels.shape)}.")
    if labels.shape[1:] not in {(), (1,), (classes,)}:
        raise ConfigError(
            f"{path} has labels of {labels.shape[1]} classes, and {target.name} has {classes}: "
            "import it for the data set it was made from."
        )
    if labels.dtype.kind not in "iuf":
        raise ConfigError(f"{path} has labels of type {labels.dtype}: save numbers.")


def _soft_labels(
    path: Path, labels: Array, target: Target
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32] | None]:
    """Return the labels ``[n, C]``, and where the file has class numbers also these."""
    classes = len(target.class_names)
    if labels.shape[1:] == (classes,):
        return _finite(f"The labels of {path}", labels), None
    numbers = _whole_numbers(path, labels.reshape(-1), target)
    return np.eye(classes, dtype=np.float32)[numbers] - np.float32(1 / classes), numbers


def _whole_numbers(path: Path, values: Array, target: Target) -> npt.NDArray[np.int32]:
    check_class_numbers(str(path), values)
    if values.max() >= len(target.class_names):
        raise ConfigError(
            f"{path} has a label {values.max():g}, and {target.name} has {len(target.class_names)} classes, "
            "counted from 0."
        )
    return values.astype(np.int32)


def _check_balance(path: Path, classes: npt.NDArray[np.int32], target: Target) -> None:
    counts = np.bincount(classes, minlength=len(target.class_names))
    if counts.min() != counts.max():
        fewest, most = int(counts.argmin()), int(counts.argmax())
        raise ConfigError(
            f"{path} has {counts[fewest]} images of class {target.class_names[fewest]!r} and {counts[most]} "
            f"of {target.class_names[most]!r}: a set needs as many of each of the {len(counts)} classes."
        )


def _finite(what: str, values: Array) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        raise ConfigError(f"{what} hold NaN or infinities: they can't be judged.")
    return floats


def _check_unit(images: Array) -> None:
    if images.min() < 0 or images.max() > 1:
        raise ConfigError(
            f"The images lie between {images.min():g} and {images.max():g}: as pixels, floats lie between "
            "0 and 1. Save them so or as uint8, or say what else they are with --space."
        )


def _times(shape: tuple[int, ...]) -> str:
    axes = [*map(str, shape[:_AXES_SHOWN]), *(["..."] if len(shape) > _AXES_SHOWN else [])]
    return " x ".join(axes) or "()"
