"""Folders of image files: a folder for each class, with or without splits, or one folder and a labels file.

    train/<class>/...  test/<class>/...     splits; names as `split_names` says, in any case
    <class>/...                             without splits: a fixed, class-stratified fifth is held out
    train/metadata.csv  test/metadata.csv   beside images: their classes (Hugging Face's ImageFolder)
    cat.0.jpg  dog.0.jpg                    files named after their classes, in one folder or in each split

With ``--labels FILE`` the classes are those of that file (`labels_files`).  A folder whose only content is
another one is entered.  The test split is that for testing if it has classes, else that for validation.
Classes are ordered as `ordered_classes` says, files by path.
"""

from __future__ import annotations

from pathlib import Path

from rcig_cli.data.formats.folder_layout import find_images
from rcig_cli.data.sources.class_names import ordered_classes
from rcig_cli.data.sources.image_files import Files, FileSource
from rcig_cli.data.sources.image_search import folders
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.data.sources.subset import hold_out_fifth


def holds_synsets(dataset: str, folder: Path) -> bool:
    """Whether ``train`` has exactly the class folders of ImageNette or ImageWoof, beside ``val``."""
    train = folder / "train"
    if not (train.is_dir() and (folder / "val").is_dir()):
        return False
    return {entry.name for entry in folders(train)} == set(KNOWN[dataset].synsets)


def open_class_folders(
    name: str, path: Path, options: ReadOptions, *, usual_side: int | None = None
) -> ImageSource:
    """Open a folder of image files; see `registry.DatasetFormat.open`.

    ``usual_side`` is the side for images of mixed sizes; by default that of the known data set ``name``, if
    there is one.
    """
    found = find_images(path, options.labels_path())
    classes = ordered_classes(path, name, found.train)
    notes = (*found.notes, *classes.notes)
    if usual_side is None and name in KNOWN:
        usual_side = KNOWN[name].shape[0]
    train = Files.by_class(path, found.train, classes.found)
    if found.test is None:
        chosen, note = hold_out_fifth(path, train.labels)
        train, test = train.select(~chosen), train.select(chosen)
        notes += (note,)
    else:
        test = Files.by_class(path, found.test, classes.found)
    return FileSource(
        name,
        path,
        classes.names,
        {"train": train, "test": test},
        options,
        usual_side=usual_side,
        notes=notes,
    )
