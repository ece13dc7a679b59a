"""Distilled sets as a folder of class folders of pictures.

A class folder is named after its class, or by its number from 0.  Exported folders have a file ``labels.npz``
with the soft labels that pictures can't hold: ``files [n]``, paths within the folder, and ``labels [n, C]``.
Pictures of other programs may be of any kind that Pillow reads; exported ones are PNG.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.data.exchange.npz import read_arrays
from rcig_cli.data.exchange.records import (
    WHITENING,
    DatasetInfo,
    ExportedSet,
    Format,
    LazyArray,
    SetFile,
    check_count,
    read_metadata,
)
from rcig_cli.data.images.picture import read_header, read_picture
from rcig_cli.data.sources.image_files import Files
from rcig_cli.data.sources.image_search import named, search
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError

_LABELS = "labels.npz"
_FOLDER_NAME = re.compile(r"\w([\w ()+,&'.-]{0,98}[\w)])?")


def recognize(path: Path, _: bytes) -> bool:
    """Whether a path is a folder."""
    return path.is_dir()


def read_set(path: Path, dataset: DatasetInfo) -> SetFile:
    """Read names and labels; the pictures are decoded when they are asked for; see `Format.read`."""
    searched = search(path)
    if searched.links:
        raise ConfigError(f"{path} can't be imported as it is. {searched.about_links()}")
    pictures = {name: list(folder.files()) for name, folder in searched.found.filled.items()}
    folders = tuple(pictures)
    files = Files.by_class(path, pictures, folders)
    if not 0 < len(folders) <= len(dataset.class_names):
        raise ConfigError(
            f"{path} has pictures in {len(folders)} folders, but {dataset.name} has "
            f"{len(dataset.class_names)} classes: each needs a folder, named after the class or by its "
            "number from 0."
        )
    check_count(path, len(files), dataset)
    labels, found = path / _LABELS, None
    names, numbers = folders, list(range(len(folders)))
    if labels.is_file() and not labels.is_symlink():
        found, metadata = read_arrays(labels)
        _, stated, _ = read_metadata(labels, metadata)
        names = stated or ()
        # Folders are called as their classes, or else by the numbers of these; see `_folder_names`.
        named_alike = set(folders) == set(names)
        numbers = [names.index(folder) if named_alike else _number(folder) for folder in folders]
        if sorted(numbers) != list(range(len(names))):
            raise ConfigError(
                f"The class_names in {labels} must be those of the class folders of {path}: correct or "
                "remove it."
            )
        searched.not_ignored(labels)
    notes = searched.notes()
    if searched.found.images:
        text = f"Images beside the class folders of {path}, passed over: {named(searched.found.images)}."
        notes += (Note("skipped", text),)
    classes = LazyArray.of(np.array(numbers, np.int32)[files.labels])
    arrays = {
        "images": LazyArray(
            (len(files), *dataset.shape),
            np.dtype(np.uint8),
            lambda: decode_pictures(((file, None) for file in files.paths), dataset),
        ),
        "labels": classes,
    }
    if found is None:
        return SetFile(path, arrays, "pixels", names, files=tuple(files.paths), notes=notes)
    arrays |= {"labels": _soft_labels(path, found, files), "classes": classes}
    arrays |= {name: array for name, array in found.items() if name.startswith(WHITENING)}
    return SetFile(path, arrays, "pixels", names, files=(*files.paths, labels), notes=notes)


def _number(folder: str) -> int:
    return int(folder) if folder.isascii() and folder.isdecimal() else -1


def _soft_labels(path: Path, found: dict[str, LazyArray], files: Files) -> LazyArray:
    """The labels of ``labels.npz``, in the order of ``files``."""
    names, labels = found.get("files"), found.get("labels")
    ours = [file.relative_to(path).as_posix() for file in files.paths]
    rows: dict[str, int] = {}
    if names is not None and labels is not None and names.shape == labels.shape[:1] == (len(ours),):
        rows = {name: row for row, name in enumerate(map(str, names.read()))}
    if labels is None or rows.keys() != set(ours):
        raise ConfigError(
            f"{path / _LABELS} must have the arrays files, with the paths of the pictures in {path}, and "
            "labels, [n, C]: correct or remove it."
        )
    order = [rows[name] for name in ours]
    return LazyArray(labels.shape, labels.dtype, lambda: labels.read()[order])


def decode_pictures(
    pictures: Iterable[tuple[Path, bytes | None]], dataset: DatasetInfo
) -> npt.NDArray[np.uint8]:
    """Decode pictures to uint8 ``[n, H, W, c]``, each after its header was found to have the right size.

    Each is given as a path and its content, which is None where the picture is a file.
    """
    height, width, channels = dataset.shape
    found = []
    for path, content in pictures:
        size = read_header(path, content).size
        if size != (min(height, width), max(height, width)):
            raise ConfigError(
                f"{path} is a picture of {size[0]} x {size[1]} pixels, but the images of {dataset.name} have "
                f"{height} x {width}: import the set for the data set it was made from."
            )
        found.append(read_picture(path, channels == 1, content))
    return np.stack(found)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image, uint8 ``[H, W, 1 or 3]``."""
    encoded = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(encoded, format="PNG")
    return encoded.getvalue()


def write_set(folder: Path, exported: ExportedSet) -> None:
    """Write a distilled set into an empty folder."""
    names = _folder_names(exported.class_names)
    files: list[str] = []
    counts = dict.fromkeys(names, 0)
    for pixels, number in zip(exported.pixels(), exported.classes, strict=True):
        name = names[number]
        files.append(f"{name}/{counts[name]:05d}.png")
        counts[name] += 1
        (folder / name).mkdir(exist_ok=True)
        (folder / files[-1]).write_bytes(encode_png(pixels))
    texts: dict[str, Any] = {"files": np.array(files), "class_names": np.array(exported.class_names)}
    with (folder / _LABELS).open("xb") as stream:
        np.savez(stream, allow_pickle=False, labels=exported.labels, **texts, **exported.whitening_arrays())


def _folder_names(class_names: tuple[str, ...]) -> list[str]:
    """The class names if all of them can name folders on any system, else their numbers."""
    distinct = {unicodedata.normalize("NFKC", name).casefold() for name in class_names}
    if len(distinct) == len(class_names) and all(map(_FOLDER_NAME.fullmatch, class_names)):
        return list(class_names)
    digits = len(str(len(class_names) - 1))
    return [f"{number:0{digits}d}" for number in range(len(class_names))]


FORMAT = Format(
    "png",
    recognize,
    read_set,
    write_set,
    suffix="-png",
    endings=(".png",),
    is_folder=True,
    lossy=True,
    keeps_stored=False,
)
