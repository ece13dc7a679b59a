"""SHA-256 checksums of files: computing them, and finding the files that no longer match theirs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from rcig_cli.errors import NotFound, RcigError
from rcig_cli.store.files import in_threads, is_temporary, storage_errors


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with storage_errors(path, "read"), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digests(folder: Path, part: str = ".") -> dict[str, str]:
    """Compute the SHA-256 of the file ``folder/part``, or of every file below it but temporary ones.

    Returns
    -------
    dict
        From the path relative to ``folder``, with forward slashes, to checksum; sorted by path.
    """
    start = folder / part
    with storage_errors(folder, "read"):
        paths = [start] if start.is_file() else [path for path in start.rglob("*") if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths if not is_temporary(path.name)}
    ordered = sorted(names)
    return dict(zip(ordered, in_threads(sha256_of_file, (names[name] for name in ordered)), strict=True))


def mismatches(folder: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Compare the files of a folder with their checksums, as `digests` returns them.

    Returns
    -------
    dict
        From the relative path of each file that doesn't match to the problem ("is missing", "has changed
        since it was written", ...).
    """
    problems = in_threads(lambda name: problem_of(folder / name, files[name]), files)
    return {name: problem for name, problem in zip(files, problems, strict=True) if problem}


def problem_of(path: Path, expected: str) -> str | None:
    """Compare one file with its checksum; None if it matches."""
    try:
        return None if sha256_of_file(path) == expected else "has changed since it was written"
    except NotFound:
        return "is missing"
    except RcigError as error:
        return f"can't be checked: {error}"
