"""The search for image files in a folder, and what it ignores.

Images are files with an image's suffix, and files whose first bytes are an image's whatever they are called.
Hidden entries, ``__MACOSX`` and stores of rcig are ignored, and so are links, except those to files inside
the folder.  Of each file its name is kept, some 100 bytes.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rcig_cli.data.images.picture import SIGNATURE_BYTES, has_signature, picture_suffixes
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError

# Folders that systems make.
_IGNORED = {"__macosx", "@eadir", "$recycle.bin", "lost+found", "system volume information"}
_OF_STORE = ("store.json", "datasets")  # a file and a folder in every store with data sets
# Images that Pillow doesn't read, or that rcig doesn't let it read.
_UNREAD = {".heic", ".heif", ".jxl", ".svg", ".dcm", ".dng", ".cr2", ".nef", ".arw", ".psd", ".exr"}
_TABLES = (".csv", ".tsv", ".jsonl")
_DEEPEST = 100  # folders in folders
_KINDS = 6  # at most so many kinds of other files are listed
_NAMED = 3  # at most so many things of a kind are named in a message


@dataclass(frozen=True, eq=False)
class Folder:
    """A folder with image files, in itself or deeper.

    Attributes
    ----------
    path
        The path within the folder that was searched, with "/" between names; "" for that folder itself.
    images
        Names of the image files directly in it, sorted.
    folders
        The folders in it, by name and sorted by it, also those without images.
    tables
        Names of its CSV, TSV and JSON lines files, sorted.
    """

    path: str
    images: list[str]
    folders: dict[str, Folder]
    tables: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of images in it or deeper."""
        return len(self.images) + sum(folder.count for folder in self.folders.values())

    @property
    def filled(self) -> dict[str, Folder]:
        """Those of its folders that have images."""
        return {name: folder for name, folder in self.folders.items() if folder.count}

    def files(self) -> Iterator[str]:
        """The paths of all images in it, sorted by their parts."""
        start = self.path + "/" if self.path else ""
        for name in sorted([*self.images, *self.folders]):
            if name in self.folders:
                yield from self.folders[name].files()
            else:
                yield start + name


@dataclass(eq=False)
class Search:
    """What a search found and ignored.

    Attributes
    ----------
    root
        The folder that was searched.
    found
        Its images.
    others
        Number of files that are no images, by suffix.
    unread
        Paths of those that are images in a format that isn't read, by their suffix.
    hidden
        Number of entries that are ignored as `is_ignored` says.
    links
        Links ignored, because they don't lead to a file inside the folder.
    """

    root: Path
    found: Folder = field(init=False)
    others: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    hidden: int = 0
    links: list[str] = field(default_factory=list)

    def not_ignored(self, file: Path) -> None:
        """Leave a file that was read, such as a labels file, out of what is said to be ignored."""
        self.others[_ending(file.name)] -= 1

    def notes(self, *, others: bool = True) -> tuple[Note, ...]:
        """Say what was ignored; without the ``others`` if they belong to the data set."""
        counts = sorted((+self.others).items(), key=lambda pair: (-pair[1], pair[0]))
        kinds = [f"{count} {suffix}" for suffix, count in counts[:_KINDS]]
        if rest := sum(count for _, count in counts[_KINDS:]):
            kinds.append(f"{rest} others")
        texts = []
        if kinds and others:
            texts.append(f"Files in {self.root} that are not images, ignored: {', '.join(kinds)}.")
        if self.hidden:
            texts.append(
                f"Hidden or system entries, or stores of rcig, in {self.root}, ignored: {self.hidden}."
            )
        if self.links:
            texts.append(self.about_links())
        return tuple(Note("skipped", text) for text in texts)

    def about_links(self) -> str:
        """Say which links were ignored."""
        return (
            f"Links in {self.root} that don't lead to a file in it, ignored: {named(self.links)}. "
            "To use what they lead to, copy it there."
        )


def named(things: list[str]) -> str:
    """Count things and name the first few: "5 (a, b, c, ...)"."""
    names = [*things[:_NAMED], "..."][: len(things)] if len(things) > _NAMED else things
    return f"{len(things)} ({', '.join(names)})"


def search(folder: Path, *, within: Path | None = None) -> Search:
    """Search a folder for images.

    Parameters
    ----------
    folder
        The folder.
    within
        The folder out of which links may not lead; by default ``folder``.

    Raises
    ------
    OSError
        If the system refuses to read it.
    """
    result = Search(folder)
    result.found = _search(result, os.fspath(folder), "", os.path.realpath(within or folder))
    return result


def _search(result: Search, folder: str, path: str, limit: str) -> Folder:
    """Search ``folder``, which is ``path`` within the root."""
    if path.count("/") >= _DEEPEST:
        raise ConfigError(f"{result.root} has folders nested more than {_DEEPEST} levels deep: move some up.")
    images, folders, tables = [], {}, []
    suffixes = picture_suffixes()
    start = path + "/" if path else ""
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = entry.name
        if is_ignored(name):
            result.hidden += 1
            continue
        if entry.is_symlink() and not (os.path.isfile(entry.path) and is_inside(entry.path, limit)):
            result.links.append(start + name)
            continue
        if entry.is_dir():
            if is_ignored(name, entry.path):
                result.hidden += 1
                continue
            # An accented letter is one character or two, depending on the system that made the folder.
            composed = unicodedata.normalize("NFC", name)
            if composed in folders:
                raise ConfigError(f"{folder} has two folders whose names look the same, {name}: rename one.")
            folders[composed] = _search(result, entry.path, start + name, limit)
            continue
        suffix = os.path.splitext(name)[1].lower()
        if not entry.is_file():
            result.others["pipes or devices"] += 1
        elif suffix in suffixes or _looks_like_image(entry.path):
            images.append(name)
        else:
            tables += [name] if suffix in _TABLES else []
            result.unread += [start + name] if suffix in _UNREAD else []
            result.others[_ending(name)] += 1
    return Folder(path, images, folders, tables)


def is_ignored(name: str, folder: str | Path | None = None) -> bool:
    """Whether a file or folder is hidden, made by the system, or a store of rcig: no part of the data.

    ``folder`` is the path of a folder; None for a file.
    """
    if name.startswith(".") or name.lower() in _IGNORED:
        return True
    return folder is not None and all(os.path.exists(os.path.join(folder, each)) for each in _OF_STORE)


def _ending(name: str) -> str:
    """What files that are no images are counted by."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if suffix and suffix.isprintable() else "without an ending"


def is_inside(path: str | Path, folder: str) -> bool:
    """Whether a path leads to ``folder``, a real path, or into it, once its links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(folder)


def _looks_like_image(path: str) -> bool:
    with suppress(PermissionError), open(path, "rb") as file:
        return has_signature(file.read(SIGNATURE_BYTES))
    return False


def only_folder(root: Path) -> Path | None:
    """Return the only folder in a folder, if that has no images itself."""
    inner = folders(root)
    images = any(os.path.splitext(name)[1].lower() in picture_suffixes() for name in os.listdir(root))
    return inner[0] if len(inner) == 1 and not images else None


def folders(root: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without linked ones and `is_ignored`."""
    found = [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]
    return sorted(
        (entry for entry in found if not is_ignored(entry.name, entry)), key=lambda entry: entry.name
    )


def may_be_classes(root: Path) -> bool:
    """Whether a folder has two or more folders, which may be classes of images, whatever is beside them."""
    return len(folders(root)) > 1
