"""The formats of data sets; the format of a path is recognized by its name and those of the files in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rcig_cli.data.formats import (
    cifar,
    class_folders,
    hugging_face,
    idx,
    image_lists,
    imagenet64,
    matlab,
    npz,
    pixel_tables,
    stl10,
)
from rcig_cli.data.sources.image_search import folders, named, only_folder
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import SPLITS, ImageSource, Note
from rcig_cli.errors import ConfigError, NotFound, RcigError

_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class DatasetFormat:
    """A format that data sets come in.

    Attributes
    ----------
    title
        Its name in messages.
    dataset
        The only known data set in this format, or None if several may be.
    holds
        Whether a path is in this format.
    open
        Opens a path, given the data set's name in the store, the path and what the user said about it.
        Labels are read into memory, images are not.
    uses
        The `ReadOptions`, besides the resolution, that ``open`` uses; others are refused.
    """

    title: str
    dataset: str | None
    holds: Callable[[Path], bool]
    open: Callable[[str, Path, ReadOptions], ImageSource]
    uses: frozenset[str] = frozenset()


_OF_ARRAYS = frozenset({"range", "layout"})
_OF_FILES = frozenset({"range", "skip_damaged"})

_open_imagenette = partial(class_folders.open_class_folders, usual_side=KNOWN["imagenette"].shape[0])

FORMATS = (
    DatasetFormat(
        "Tiny-ImageNet",
        "tiny_imagenet",
        image_lists.holds_tiny_imagenet,
        image_lists.open_tiny_imagenet,
        _OF_FILES,
    ),
    DatasetFormat("CUB-200-2011", "cub200", image_lists.holds_cub200, image_lists.open_cub200, _OF_FILES),
    *(
        DatasetFormat(
            f"CIFAR-{of.classes}, {version} version", of.dataset, partial(holds, of), partial(opens, of)
        )
        for version, holds, opens in (
            ("binary", cifar.holds_binary, cifar.open_binary),
            ("python", cifar.holds_python, cifar.open_python),
        )
        for of in (cifar.CIFAR10, cifar.CIFAR100)
    ),
    DatasetFormat("Downsampled ImageNet", "imagenet64", imagenet64.holds, imagenet64.open_imagenet64),
    *(
        DatasetFormat(title, name, partial(class_folders.holds_synsets, name), _open_imagenette, _OF_FILES)
        for title, name in (("ImageNette", "imagenette"), ("ImageWoof", "imagewoof"))
    ),
    DatasetFormat("MNIST's IDX files", None, idx.holds, idx.open_idx, _OF_ARRAYS),
    DatasetFormat("NumPy arrays", None, npz.holds, npz.open_npz, _OF_ARRAYS),
    DatasetFormat("STL-10, binary version", None, stl10.holds, stl10.open_stl10, frozenset({"range"})),
    DatasetFormat("MATLAB's .mat files", None, matlab.holds, matlab.open_matlab, frozenset({"range"})),
    DatasetFormat(
        "a table of pixels",
        None,
        pixel_tables.holds,
        pixel_tables.open_pixel_tables,
        _OF_ARRAYS | {"labels"},
    ),
    DatasetFormat(
        "a Hugging Face data set",
        None,
        hugging_face.holds,
        hugging_face.open_hugging_face,
        _OF_ARRAYS | _OF_FILES | {"labels"},
    ),
    DatasetFormat(
        "a folder of image files", None, Path.is_dir, class_folders.open_class_folders, _OF_FILES | {"labels"}
    ),
)
"""In the order in which they are tried; the last takes any folder."""


def open_path(name: str, path: Path, options: ReadOptions) -> ImageSource:
    """Open a file or folder; parameters and errors as in `rcig_cli.data.sources.opening.open_source`.

    Also raises ConfigError if the path holds another known data set than ``name``.
    """
    try:
        path, found = _recognized(path)
        if found.dataset and name in KNOWN and KNOWN[name] is not KNOWN[found.dataset]:
            raise ConfigError(
                f"{path} holds {found.title}, not {name}: run rcig prepare {found.dataset} --from {path}."
            )
        options.check_used(found.uses, f"{path}, which is read as {found.title}")
        try:
            source = found.open(name, path, options)
        except ConfigError:
            if found is FORMATS[-1]:
                _refuse_inside(path, FORMATS[:-1])
            raise
    except FileNotFoundError as error:
        raise NotFound(f"{error.filename or path} is missing: unpack the download again.") from error
    except OSError as error:
        raise RcigError(f"{error.filename or path} can't be read: {error.strerror or error}.") from error
    source.notes = (Note("format", f"{path} is read as {found.title}."), *source.notes)
    known, sizes = KNOWN.get(found.dataset or name), tuple(source.sizes[split] for split in SPLITS)
    if known is not None and sizes != known.sizes:
        text = f"It has {sizes[0]} training and {sizes[1]} test images; "
        text += f"{known.name} as published has {known.sizes[0]} and {known.sizes[1]}."
        source.notes += (Note("splits", text),)
    if known is not None:
        side = options.resolution or known.shape[0]
        if source.shape != (side, side, known.shape[2]):
            ours, theirs = _in_words(source.shape), _in_words(known.shape)
            text = f"Its images have {ours}; those of {known.name} have {theirs}."
            source.notes += (Note("size", text),)
    tested = set(source.labels("test").tolist())
    if missing := [name for label, name in enumerate(source.class_names) if label not in tested]:
        source.notes += (Note("splits", f"Classes without test images: {named(missing)}."),)
    return source


def _in_words(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} x {shape[1]} pixels, {'grey' if shape[2] == 1 else 'RGB'}"


def _recognized(path: Path) -> tuple[Path, DatasetFormat]:
    """Return the format of a path, or of the only folder in it, and where it is."""
    found = next((form for form in FORMATS if form.holds(path)), None)
    if found is None:
        raise _unknown(path)
    if found is not FORMATS[-1]:
        return path, found
    if (inner := only_folder(path)) is not None:
        deeper = _recognized(inner)
        return (path, found) if deeper[1] is found else deeper
    _refuse_inside(path, [form for form in FORMATS if form.dataset])
    return path, found


def _refuse_inside(folder: Path, forms: Sequence[DatasetFormat]) -> None:
    """Refuse a folder that has one of these formats in a folder of it."""
    found = [(form, inner) for inner in folders(folder) for form in forms if form.holds(inner)]
    if not found:
        return
    ways = " or ".join(str(inner) for _, inner in found)
    raise ConfigError(f"{folder} holds {found[0][0].title} in a subfolder: pass --from {ways}.")


def _unknown(path: Path) -> RcigError:
    if not path.exists():
        return NotFound(f"There is no file or folder {path}: check what you passed to --from.")
    if path.name.lower().endswith(_ARCHIVES):
        return ConfigError(f"{path} is an archive: unpack it, and pass the unpacked folder with --from.")
    return ConfigError(
        f"{path} has none of the formats that --from reads (docs/datasets.md). Save images in a folder for "
        "each class, or arrays with numpy.savez; pass a list of image files with --labels, their folder with "
        "--from."
    )
