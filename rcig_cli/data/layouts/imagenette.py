"""ImageNette and ImageWoof as their archives unpack: ``train/<wnid>`` and ``val/<wnid>``, ten classes each.

Whichever size was downloaded (full, 320 or 160 pixels); they are class folders like any others, but for the
names of the classes and the size they are brought to.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from rcig_cli.data.sources.class_names import IMAGENETTE, IMAGEWOOF, readable
from rcig_cli.data.sources.folder import FolderSource
from rcig_cli.data.sources.folder_layout import find_files, folders
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.source import ImageSource


def holds_nette(folder: Path) -> bool:
    """Say whether a folder has ImageNette's ten classes."""
    return _has_classes(folder, IMAGENETTE)


def holds_woof(folder: Path) -> bool:
    """Say whether a folder has ImageWoof's ten classes."""
    return _has_classes(folder, IMAGEWOOF)


def open_layout(name: str, folder: Path, resolution: int | None) -> ImageSource:
    """Open such a folder; only headers have been read.

    Raises
    ------
    ConfigError, Corrupt, RcigError
        As ``rcig_cli.data.sources.folder.open_folder``.
    """
    found = find_files(folder)
    assert found.test is not None, "val is there"
    return FolderSource(
        name,
        readable(found.class_names),
        {"train": found.train, "test": found.test},
        resolution=resolution,
        usual_side=KNOWN["imagenette"].shape[0],
        notes=found.notes,
    )


def _has_classes(folder: Path, codes: Collection[str]) -> bool:
    train, val = folder / "train", folder / "val"
    if not (train.is_dir() and val.is_dir()):
        return False
    return {entry.name for entry in folders(train)} == set(codes)
