"""Which layout a folder has: the one place where that is decided, by the names in it alone.

The layouts are tried in the order of ``LAYOUTS``; what is none of them is a folder of class folders
(``rcig_cli.data.sources.folder``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rcig_cli.data.layouts import (
    cifar_binary,
    cifar_python,
    cub200,
    idx,
    imagenet64,
    imagenette,
    tiny_imagenet,
)
from rcig_cli.data.sources.folder_layout import folders
from rcig_cli.data.sources.known import KNOWN, KnownDataset
from rcig_cli.data.sources.source import SPLITS, ImageSource
from rcig_cli.errors import ConfigError, NotFound, RcigError


@dataclass(frozen=True)
class Layout:
    """A layout.

    Parameters
    ----------
    title
        What it is called in sentences.
    dataset
        The only known data set that comes so, or None if several may.
    holds
        Whether a folder has it.
    open
        From the data set's name, the folder and the resolution to its source.
    """

    title: str
    dataset: str | None
    holds: Callable[[Path], bool]
    open: Callable[[str, Path, int | None], ImageSource]


LAYOUTS = (
    Layout("Tiny-ImageNet", "tiny_imagenet", tiny_imagenet.holds, tiny_imagenet.open_layout),
    Layout("CUB-200-2011", "cub200", cub200.holds, cub200.open_layout),
    Layout(
        "CIFAR-10, binary version",
        "cifar10",
        cifar_binary.holds_ten,
        partial(cifar_binary.open_form, cifar_binary.TEN),
    ),
    Layout(
        "CIFAR-100, binary version",
        "cifar100",
        cifar_binary.holds_hundred,
        partial(cifar_binary.open_form, cifar_binary.HUNDRED),
    ),
    Layout(
        "CIFAR-10, python version",
        "cifar10",
        cifar_python.holds_ten,
        partial(cifar_python.open_form, cifar_python.TEN),
    ),
    Layout(
        "CIFAR-100, python version",
        "cifar100",
        cifar_python.holds_hundred,
        partial(cifar_python.open_form, cifar_python.HUNDRED),
    ),
    Layout("Downsampled ImageNet", "imagenet64", imagenet64.holds, imagenet64.open_layout),
    Layout("ImageNette", "imagenette", imagenette.holds_nette, imagenette.open_layout),
    Layout("ImageWoof", "imagewoof", imagenette.holds_woof, imagenette.open_layout),
    Layout("MNIST's IDX files", None, idx.holds, idx.open_layout),
)


def open_recognised(name: str, folder: Path, resolution: int | None = None) -> ImageSource | None:
    """Open a folder that has one of the layouts.

    Parameters
    ----------
    name
        What the data set is called in the store.
    folder
        The folder.
    resolution
        Side in pixels that images are brought to.

    Returns
    -------
    ImageSource or None
        None if it has none of them.

    Raises
    ------
    ConfigError
        If it holds another known data set than the name says, or can't be used.
    NotFound, Corrupt, RcigError
        If files are missing, damaged, or can't be read.
    """
    try:
        layout = next((layout for layout in LAYOUTS if layout.holds(folder)), None)
        if layout is None:
            return None
        _check_name(name, folder, layout)
        source = layout.open(name, folder, resolution)
    except FileNotFoundError as error:
        raise NotFound(f"{error.filename or folder} is missing: unpack the download again.") from error
    except OSError as error:
        raise RcigError(f"{error.filename or folder} can't be read: {error.strerror or error}.") from error
    known = KNOWN.get(layout.dataset or name)
    source.notes = (f"{folder} is read as {layout.title}.", *source.notes, *_missing(source, known))
    return source


def recognised_inside(folder: Path) -> tuple[str, Path] | None:
    """Look for a layout in the folders of a folder: give what it is and where, if there is one."""
    found = ((layout.title, inner) for inner in folders(folder) for layout in LAYOUTS if layout.holds(inner))
    return next(found, None)


def _check_name(name: str, folder: Path, layout: Layout) -> None:
    if layout.dataset and name in KNOWN and KNOWN[name] is not KNOWN[layout.dataset]:
        raise ConfigError(
            f"{folder} holds {layout.title}, not {name}: type rcig prepare {layout.dataset} --from {folder}."
        )


def _missing(source: ImageSource, known: KnownDataset | None) -> tuple[str, ...]:
    found = tuple(source.sizes[split] for split in SPLITS)
    if known is None or found == known.sizes:
        return ()
    return (
        f"It has {found[0]} training and {found[1]} test images; "
        f"{known.name} as published has {known.sizes[0]} and {known.sizes[1]}.",
    )
