"""Records that the formats, the checks of imported sets and the commands share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.source import Note
from rcig_cli.data.whitening.whitening import Whitening
from rcig_cli.errors import ConfigError, Corrupt, shorten

Space = Literal["whitened", "normalized", "dc-normalized", "kornia-zca", "pixels"]
SPACES: tuple[Space, ...] = get_args(Space)

WHITENING = "whitening_"
"""Prefix of the names under which the arrays of a `Whitening` are saved."""

STORED = "stored_"
"""Prefix of the names under which the arrays that a parametrized set stores are saved."""

VERSION = 1
"""Version of the exported files, saved in each as `VERSION_KEY`; files made by other programs have none."""

VERSION_KEY = "rcig_format"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DatasetInfo:
    """The data set that an imported set was distilled from, and is checked against.

    Attributes
    ----------
    name, shape, class_names
        Its name, ``(H, W, c)`` of its images, and the names of its C classes.
    max_images
        The most images that a distilled set of it can have.
    """

    name: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    max_images: int


@dataclass(frozen=True)
class LazyArray:
    """An array in a file: its shape and type are known, its values are read by ``read()``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Array]

    @classmethod
    def of(cls, array: Array) -> LazyArray:
        """Wrap an array that is in memory already."""
        return cls(array.shape, array.dtype, lambda: array)


@dataclass(frozen=True)
class SetFile:
    """The contents of a file or folder with a distilled set, not yet checked against a data set.

    Attributes
    ----------
    path
        The file or folder.
    arrays
        ``images`` and ``labels`` (or ``x_proto`` and ``y_proto``), and perhaps ``classes`` and the whitening.
    space
        What the values of the images are, where the file says so.
    class_names
        The names of its classes, in the order of its class numbers, where the file has them.
    parametrization
        The settings of a parametrized set, where ``arrays`` has what it stores.
    files
        The files that were read, where it isn't only ``path``.
    sets
        The arrays of each set, where the file holds a list of sets; ``arrays`` is then empty.
    notes
        What was assumed.
    """

    path: Path
    arrays: Mapping[str, LazyArray]
    space: Space | None = None
    class_names: tuple[str, ...] | None = None
    parametrization: Mapping[str, Any] | None = None
    files: tuple[Path, ...] = ()
    sets: tuple[Mapping[str, LazyArray], ...] = ()
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, eq=False)
class ExportedSet:
    """A distilled set, and everything that another program needs to use it.

    Attributes
    ----------
    run, dataset
        The name of the run, and of the data set that it was distilled from.
    class_names
        C names.
    images, labels, classes
        ``[n, H, W, c]`` as a network sees them, ``[n, C]`` and ``[n]``.
    whitening
        The map between pixels and what a network sees.
    stored
        The arrays that a parametrized set stores, by name; none for a raw set.
    parametrization
        Its settings, as `rcig distill` has them: ``parametrization``, ``ipc`` and the parametrization's own.
    keeps_whitening
        Whether the arrays of the whitening are exported too; with ZCA they are two matrices whose sides are
        the number of values of an image.
    """

    run: str
    dataset: str
    class_names: tuple[str, ...]
    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    whitening: Whitening
    stored: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    parametrization: Mapping[str, Any] | None = None
    keeps_whitening: bool = True

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The images in natural colours, uint8 ``[n, H, W, c]``, rounded and clipped."""
        return self.whitening.pixels(self.images)

    def whitening_arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """The arrays of the whitening and its inverse, by name; none if they are left out."""
        if not self.keeps_whitening:
            return {}
        return {WHITENING + name: array for name, array in self.whitening.arrays().items()}

    def stored_arrays(self) -> dict[str, Array]:
        """The arrays that a parametrized set stores, by name."""
        return {STORED + name: array for name, array in self.stored.items()}

    def arrays(self) -> dict[str, Array]:
        """All arrays, by name."""
        own: dict[str, Array] = {"images": self.images, "labels": self.labels, "classes": self.classes}
        return {**own, "pixels": self.pixels(), **self.stored_arrays(), **self.whitening_arrays()}

    def texts(self) -> dict[str, str]:
        """What describes the set in a single string, by name."""
        own = {"space": "whitened", "dataset": self.dataset, "run": self.run}
        settings = self.parametrization
        return own if settings is None else {**own, "parametrization": json.dumps(settings)}

    def metadata(self) -> dict[str, str]:
        """Everything but the arrays, as strings by name: for formats with a header of strings."""
        return {**self.texts(), "class_names": json.dumps(self.class_names), VERSION_KEY: str(VERSION)}


@dataclass(frozen=True)
class Format:
    """A format that distilled sets are imported from or exported to.

    Attributes
    ----------
    name
        The value of ``--format``.
    recognize
        Given a path and its first 16 bytes (none for a folder), whether the path is of this format.
    read
        Read a file or folder.  Raises `ConfigError` if it can't be a distilled set of the data set, and
        `Corrupt` if it is damaged, cut short or exported by a newer version.
    write
        Write a set to a path that doesn't exist, or into an empty folder; None if the format is only
        imported.
    suffix
        What the name of an exported file or folder ends in.
    endings
        The endings of file names that belong to this format alone.
    is_folder
        Whether ``write`` fills a folder.
    lossy
        Whether an export loses precision.
    keeps_stored
        Whether an export of a parametrized set has its stored arrays beside the decoded images.
    """

    name: str
    recognize: Callable[[Path, bytes], bool]
    read: Callable[[Path, DatasetInfo], SetFile]
    write: Callable[[Path, ExportedSet], None] | None = None
    suffix: str = ""
    endings: tuple[str, ...] = ()
    is_folder: bool = False
    lossy: bool = False
    keeps_stored: bool = True


def check_count(path: Path, count: int, dataset: DatasetInfo) -> None:
    """Raise `ConfigError` if a file has no images, or more than a distilled set of the data set can have."""
    if not 1 <= count <= dataset.max_images:
        raise ConfigError(
            f"{path} has {count} images, but a distilled set of {dataset.name} has 1 to {dataset.max_images}."
        )


def read_metadata(
    path: Path, found: Mapping[str, object]
) -> tuple[Space | None, tuple[str, ...] | None, dict[str, Any] | None]:
    """Read a file's metadata: its version, space, class names and parametrization.

    Parameters
    ----------
    path
        The file, for errors.
    found
        By name; all may be missing, in files of other programs.  The class names are a list, or JSON of one;
        the parametrization is a dictionary of settings, or JSON of one.

    Returns
    -------
    Space or None, tuple of str or None, dict or None
        What the values of the images are, the names of the classes, and the settings of a parametrized set,
        where the file says so.

    Raises
    ------
    ConfigError
        If the space isn't one of `SPACES`, the class names aren't strings, or the parametrization isn't a
        dictionary of settings.
    Corrupt
        If the file was exported by another version of rcig.
    """
    version = found.get(VERSION_KEY)
    if version is not None and str(version) != str(VERSION):
        raise Corrupt(
            f"{path} was written by a newer rcig (format {shorten(version)}); this one reads format "
            f"{VERSION}: upgrade rcig-cli to use it."
        )
    space = next((space for space in SPACES if space == found.get("space")), None)
    if space is None and found.get("space") is not None:
        raise ConfigError(f"{path}: its space must be one of {', '.join(SPACES)}, as a string.")
    names, settings = (_parsed(found.get(name)) for name in ("class_names", "parametrization"))
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ConfigError(f"{path}: its class_names must be a list of strings.")
    if settings is not None and not (isinstance(settings, dict) and all(map(_is_text, settings))):
        raise ConfigError(f"{path}: its parametrization must be a dictionary of settings.")
    return space, None if names is None else tuple(names), settings


def _parsed(value: object) -> Any:
    """Return a value, parsed if it is text in JSON; an empty text if it is other text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return ""


def _is_text(value: object) -> bool:
    return isinstance(value, str)
