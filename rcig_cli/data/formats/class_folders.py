"""Image files in class folders, with or without a split.

Either ``train/<class>/...`` beside one of ``test``, ``val`` and ``validation`` (the first that exists), or
``<class>/...`` alone, of which a fixed, class-stratified fifth is held out for testing.  Classes are sorted
by name, files by path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rcig_cli.data.sources.class_names import readable
from rcig_cli.data.sources.image_files import Files, FileSource, ImageSearch, folders
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Note
from rcig_cli.data.sources.subset import hold_out_fifth
from rcig_cli.errors import ConfigError

_TEST_NAMES = ("test", "val", "validation")  # of the folder beside "train"; the first that exists is used


def holds_synsets(dataset: str, folder: Path) -> bool:
    """Whether ``train`` has exactly the class folders of ImageNette or ImageWoof, beside ``val``."""
    train = folder / "train"
    if not (train.is_dir() and (folder / "val").is_dir()):
        return False
    return {entry.name for entry in folders(train)} == set(KNOWN[dataset].synsets)


def open_class_folders(
    name: str, path: Path, options: ReadOptions, *, usual_side: int | None = None
) -> ImageSource:
    """Open a folder of class folders; see `registry.DatasetFormat.open`.

    ``usual_side`` is the side for images of mixed sizes; by default that of the known data set ``name``, if
    there is one.
    """
    found = find_files(path)
    train, test, notes = found.train, found.test, found.notes
    if usual_side is None and name in KNOWN:
        usual_side = KNOWN[name].shape[0]
    if test is None:
        chosen, note = hold_out_fifth(path, train.labels)
        train, test = train.select(~chosen), train.select(chosen)
        notes += (note,)
    return FileSource(
        name,
        path,
        readable(found.class_names),
        {"train": train, "test": test},
        resolution=options.resolution,
        usual_side=usual_side,
        notes=notes,
    )


@dataclass(frozen=True)
class ClassFolders:
    """What was found in a folder of class folders.

    Attributes
    ----------
    class_names
        Names of the class folders, sorted.
    train, test
        The files of each split; ``test`` is None if the folder has no split.
    notes
        What was skipped.
    """

    class_names: tuple[str, ...]
    train: Files
    test: Files | None
    notes: tuple[Note, ...]


def find_files(root: Path) -> ClassFolders:
    """Find the image files in a folder of class folders, or of split folders that hold class folders.

    Raises
    ------
    ConfigError
        If there are fewer than two classes.
    OSError
        If the system refuses to read the folder.
    """
    search = ImageSearch(root)
    train, test = root, None
    # A folder "train" that holds images is a class, not a split.
    if (root / "train").is_dir() and folders(root / "train"):
        train = root / "train"
        test = next((root / name for name in _TEST_NAMES if (root / name).is_dir()), None)
    found = {folder.name for part in (train, test) if part is not None for folder in folders(part)}
    if len(found) < 2:
        raise ConfigError(
            f"{train} has {len(found)} class folders and needs at least two: "
            "put the images of each class into a folder of its own."
        )
    class_names = tuple(sorted(found))
    files = [None if part is None else search.files(part, class_names) for part in (train, test)]
    assert files[0] is not None
    return ClassFolders(class_names, files[0], files[1], search.notes())
