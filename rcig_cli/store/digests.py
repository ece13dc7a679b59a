"""SHA-256 digests of files: computing them, and finding the files that no longer have theirs."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from rcig_cli.errors import Corrupt, NotFound, RcigError
from rcig_cli.store.files import in_threads, storage_errors
from rcig_cli.store.plain import open_plain


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with storage_errors(path, "read"), open_plain(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digests(folder: Path, part: str = ".") -> dict[str, str]:
    """Compute the SHA-256 of every file under a folder.

    Parameters
    ----------
    folder
        What the paths in the result are relative to.
    part
        The folder or file within it to look at; everything by default.

    Returns
    -------
    dict
        From relative path, with forward slashes, to digest; sorted by path.

    Raises
    ------
    Corrupt
        If there is anything but plain files and folders.
    """
    with storage_errors(folder, "read"):
        paths = sorted(_plain_files(folder / part), key=lambda path: path.relative_to(folder).as_posix())
    names = [path.relative_to(folder).as_posix() for path in paths]
    return dict(zip(names, in_threads(sha256_of_file, paths), strict=True))


def mismatches(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Compare files with the digests that a manifest holds.

    Parameters
    ----------
    folder
        What the paths are relative to.
    files
        From relative path to SHA-256, as `digests` gives it.

    Returns
    -------
    dict
        From relative path to what is wrong with it ("is missing", "has changed since it was written",
        ...); empty if all is well.
    """
    verdicts = zip(files, in_threads(lambda name: problem_of(folder, name, files[name]), files), strict=True)
    return {name: problem for name, problem in verdicts if problem}


def problem_of(folder: Path, name: str, expected: str) -> str | None:
    """Compare one file with its digest, as `mismatches` does all; None if all is well."""
    path = folder / name
    try:
        with storage_errors(path, "read"):
            # A link anywhere below the folder could lead out of it.
            # (`Path.resolve` raises a RuntimeError for a link to itself.)
            inside = os.path.join(os.path.realpath(folder), name)
            if os.path.realpath(path) != inside or (path.exists() and not path.is_file()):
                return "isn't a plain file"
            changed = sha256_of_file(path) != expected
    except NotFound:
        return "is missing"
    except RcigError as error:
        return f"can't be checked: {error}"
    return "has changed since it was written" if changed else None


def _plain_files(folder: Path) -> Iterator[Path]:
    if folder.is_file() and not folder.is_symlink():
        yield folder
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _plain_files(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                raise Corrupt(
                    f"{entry.path} is neither a plain file nor a folder: it has no place in a store."
                )
