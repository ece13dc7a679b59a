"""Image data in NumPy's files: one ``.npz`` file, two ``.npy`` files, or a folder of such files.

In an ``.npz`` file, names of arrays tell what they are: ``x_train, y_train, x_test, y_test``,
``train_images``, ``val_labels``, ``data`` and ``targets``, and so on; see `rcig_cli.data.arrays.pairs`.
``class_names`` is optional.  In a folder, names of files tell it: ``X_train.npy``, ``kmnist-train-imgs.npz``
(with one array), ``train.npz`` (with images and labels).  What arrays hold is found out in
`rcig_cli.data.arrays`.  Labels are read into memory, images are not.
"""

from __future__ import annotations

from pathlib import Path

from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.arrays.pairs import find_pairs, read_key
from rcig_cli.data.files import files_with
from rcig_cli.data.npz import LARGEST_SMALL_ARRAY, Member, members, single, strings
from rcig_cli.data.sources.class_names import MOST_CLASSES, published_names
from rcig_cli.data.sources.image_search import may_be_classes
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note

_SUFFIXES = (".npy", ".npz")
_NAMES = ("class_names", "label_names", "target_names", "names", "classes", "categories")
_ONLY = "arr_0"  # what numpy.savez calls an array that was given no name
# Data sets whose files don't name their classes, by the beginning of the names of these files.
_CLASSES_OF = {"cifar10.1": "cifar10"}


def holds(path: Path) -> bool:
    """Whether a path is such a file, or a folder with files whose names say that they hold images."""
    if not path.is_dir():
        return path.suffix.lower() in _SUFFIXES and path.is_file()
    if may_be_classes(path):
        return False
    # Batches, as those of Downsampled ImageNet, are parts of a split.
    keys = [
        key
        for key in (read_key(file.stem) for file in files_with(path, *_SUFFIXES))
        if "batch" not in key.rest
    ]
    return any(key.split == "train" or (key.split, key.content) == ("", "images") for key in keys)


def open_npz(name: str, path: Path, options: ReadOptions) -> ImageSource:
    """Open such a file or folder; see `registry.DatasetFormat.open`."""
    arrays = _folder(path, files_with(path, *_SUFFIXES)) if path.is_dir() else _file(path)
    named = next((key for key in _NAMES if key in arrays and _names_classes(key, arrays[key])), None)
    class_names = strings(arrays.pop(named), MOST_CLASSES) if named else None
    keys, notes = find_pairs(path, {key: member.shape for key, member in arrays.items()})
    pairs = {split: _pair(arrays[images], arrays[labels]) for split, (images, labels) in keys.items()}
    dataset = next((of for start, of in _CLASSES_OF.items() if keys["train"][0].startswith(start)), None)
    if dataset is not None:
        class_names = published_names(dataset, KNOWN[dataset].classes)
        notes += (Note("classes", f"Its classes are those of {dataset}."),)
    return open_arrays(name, path, pairs, options, class_names=class_names, notes=notes)


def _file(path: Path) -> dict[str, Member]:
    """Read the headers in a file, or if it has a single array, in the files that belong to it too."""
    arrays = members(path) if path.suffix.lower() == ".npz" else {}
    if arrays and [*arrays] != [_ONLY]:
        return arrays
    rest = read_key(path.stem).rest
    files = files_with(path.parent, path.suffix.lower())
    return _folder(path.parent, [file for file in files if read_key(file.stem).rest == rest])


def _names_classes(key: str, member: Member) -> bool:
    """Whether an array has the names of the classes, and not the class of each image."""
    if key == _NAMES[0]:
        return True
    if member.dtype.kind not in "US" or len(member.shape) != 1:
        return False
    if key != "classes":
        return True
    return member.shape[0] <= MOST_CLASSES and len(set(strings(member, MOST_CLASSES))) == member.shape[0]


def _pair(images: Member, labels: Member) -> Pair:
    return Pair(images, labels.read(LARGEST_SMALL_ARRAY), labels)


def _folder(folder: Path, files: list[Path]) -> dict[str, Member]:
    """Read the headers of arrays in several files, named by their files, and by their names in these."""
    found: dict[str, Member] = {}
    for file in files:
        if file.suffix.lower() == ".npy":
            found[file.stem] = single(file, inside=folder)
            continue
        for key, member in members(file, inside=folder).items():
            found[file.stem if key == _ONLY else f"{file.stem} {key}"] = member
    return found
