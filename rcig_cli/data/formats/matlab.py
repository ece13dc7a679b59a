"""Image data in MATLAB's files: images ``X``, ``[H, W, c, n]`` or ``[H, W, n]``, and their labels ``y``.

Names of variables and files tell what they are, as for NumPy's files: a folder has ``train_32x32.mat`` and
``test_32x32.mat`` (SVHN, whose label 10 is the digit 0); a file alone may have both splits, or one pair.
"""

from __future__ import annotations

from pathlib import Path

from rcig_cli.data.arrays.layout import Layout, transposed
from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.arrays.pairs import find_pairs, read_key
from rcig_cli.data.files import files_with
from rcig_cli.data.matlab import MatlabArray, matlab_arrays
from rcig_cli.data.npz import LARGEST_SMALL_ARRAY
from rcig_cli.data.sources.image_search import may_be_classes
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note
from rcig_cli.errors import ConfigError

_SUFFIX = ".mat"
_SVHN = ("train_32x32", "test_32x32", "extra_32x32")


def holds(path: Path) -> bool:
    """Whether a path is a ``.mat`` file, or a folder with one for training."""
    if not path.is_dir():
        return path.suffix.lower() == _SUFFIX and path.is_file()
    return not may_be_classes(path) and any(
        read_key(file.stem).split == "train" for file in files_with(path, _SUFFIX)
    )


def open_matlab(name: str, path: Path, options: ReadOptions) -> ImageSource:
    """Open such a file or folder; see `registry.DatasetFormat.open`."""
    notes: tuple[Note, ...] = ()
    arrays: dict[str, MatlabArray] = {}
    if path.is_dir():
        for file in files_with(path, _SUFFIX):
            if read_key(file.stem).split:
                found = matlab_arrays(file, inside=path)
                arrays |= {f"{file.stem} {key}": array for key, array in found.items()}
            else:
                notes += (Note("skipped", f"Not used: {file.name}."),)
    else:
        arrays = matlab_arrays(path)
    keys, more = find_pairs(path, {key: array.shape for key, array in arrays.items()})
    images = {split: arrays[key] for split, (key, _) in keys.items()}
    labels = {split: arrays[key] for split, (_, key) in keys.items()}
    values = {split: array.read(LARGEST_SMALL_ARRAY) for split, array in labels.items()}
    is_svhn = all(array.path.stem in _SVHN for array in images.values())
    if is_svhn and all(some.max(initial=0) == 10 for some in values.values()):
        values = {split: some % 10 for split, some in values.items()}
        more += (Note("labels", "The label 10 is the digit 0."),)
    for split, array in images.items():
        shape, count = array.shape[::-1], values[split].size
        if len(shape) not in (3, 4) or shape[-1] != count or shape[2:-1] not in ((), (1,), (3,), (4,)):
            raise ConfigError(
                f"{array} has the shape {shape} for {count} labels: images in MATLAB's files are [H, W, n] "
                "or [H, W, c, n] with 1, 3 or 4 channels c."
            )
    pairs = {split: Pair(images[split], values[split], labels[split]) for split in images}
    return open_arrays(name, path, pairs, options, layout=_reversed, notes=notes + more)


def _reversed(row: tuple[int, ...]) -> Layout:
    """Return the layout of an image whose axes are reversed: ``(c, W, H)`` or ``(W, H)``."""
    return transposed(row) if len(row) == 2 else Layout((row[0], row[1], row[2]), (0, 3, 2, 1))
