"""Decide which layout a folder has, from the names of the files and folders in it.

The layouts are tried in the order of `LAYOUTS`; a folder with none of them is read as a folder of class
folders (`rcig_cli.data.sources.folder`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rcig_cli.data.layouts import cifar, idx, image_lists, imagenet64
from rcig_cli.data.sources.folder import folders, open_folder
from rcig_cli.data.sources.known import KNOWN, KnownDataset
from rcig_cli.data.sources.source import SPLITS, ImageSource
from rcig_cli.errors import ConfigError


@dataclass(frozen=True)
class Layout:
    """A layout.

    Parameters
    ----------
    title
        Its name in messages.
    dataset
        The only known data set that has it, or None if several may.
    holds
        Whether a folder has it.
    open
        Opens a folder, given the data set's name in the store, the folder and the resolution that the user
        asked for, with the errors of `opening.open_source`.  Labels are read into memory, images are not.
    """

    title: str
    dataset: str | None
    holds: Callable[[Path], bool]
    open: Callable[[str, Path, int | None], ImageSource]


def _holds_synsets(dataset: str, folder: Path) -> bool:
    """Whether ``train`` has exactly the data set's class folders, beside ``val``."""
    if not ((folder / "train").is_dir() and (folder / "val").is_dir()):
        return False
    return {entry.name for entry in folders(folder / "train")} == set(KNOWN[dataset].synsets)


_of_imagenette = partial(open_folder, usual_side=KNOWN["imagenette"].shape[0])

LAYOUTS = (
    Layout("Tiny-ImageNet", "tiny_imagenet", image_lists.holds_tiny_imagenet, image_lists.open_tiny_imagenet),
    Layout("CUB-200-2011", "cub200", image_lists.holds_cub200, image_lists.open_cub200),
    *(
        Layout(f"CIFAR-{of.classes}, {version} version", of.dataset, partial(holds, of), partial(opens, of))
        for version, holds, opens in (
            ("binary", cifar.holds_binary, cifar.open_binary),
            ("python", cifar.holds_python, cifar.open_python),
        )
        for of in (cifar.CIFAR10, cifar.CIFAR100)
    ),
    Layout("Downsampled ImageNet", "imagenet64", imagenet64.holds, imagenet64.open_layout),
    Layout("ImageNette", "imagenette", partial(_holds_synsets, "imagenette"), _of_imagenette),
    Layout("ImageWoof", "imagewoof", partial(_holds_synsets, "imagewoof"), _of_imagenette),
    Layout("MNIST's IDX files", None, idx.holds, idx.open_layout),
)


def open_recognized(name: str, folder: Path, resolution: int | None = None) -> ImageSource | None:
    """Open a folder that has one of the layouts; None if it has none of them.

    Parameters and errors are those of `opening.open_source`; ConfigError too if the folder holds another
    known data set than the name says.
    """
    layout = next((layout for layout in LAYOUTS if layout.holds(folder)), None)
    if layout is None:
        return None
    if layout.dataset and name in KNOWN and KNOWN[name] is not KNOWN[layout.dataset]:
        raise ConfigError(
            f"{folder} holds {layout.title}, not {name}: run rcig prepare {layout.dataset} --from {folder}."
        )
    source = layout.open(name, folder, resolution)
    known = KNOWN.get(layout.dataset or name)
    source.notes = (f"{folder} is read as {layout.title}.", *source.notes, *_missing(source, known))
    return source


def recognized_inside(folder: Path) -> tuple[str, Path] | None:
    """Look for a layout in the folders of a folder: return its title and where it is, if there is one."""
    found = ((layout.title, inner) for inner in folders(folder) for layout in LAYOUTS if layout.holds(inner))
    return next(found, None)


def _missing(source: ImageSource, known: KnownDataset | None) -> tuple[str, ...]:
    found = tuple(source.sizes[split] for split in SPLITS)
    if known is None or found == known.sizes:
        return ()
    return (
        f"It has {found[0]} training and {found[1]} test images; "
        f"{known.name} as published has {known.sizes[0]} and {known.sizes[1]}.",
    )
