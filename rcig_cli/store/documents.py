"""Writing and reading the JSON documents of a store.

Every document has a field ``format``, the number of the store's format, and a field ``sha256``, the checksum
of its other fields.  It is canonical: sorted keys, an indent of two, ASCII only, a final newline.  So equal
documents have equal bytes, and any changed, lost or added byte is detected: either the checksum no longer
matches, or the text is no longer canonical.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from rcig_cli.errors import Corrupt, NotFound, shorten
from rcig_cli.store.files import storage_errors, write_bytes_atomically

FORMAT = 1
_CHECKSUM = "sha256"

Record = TypeVar("Record")


def canonical(document: Mapping[str, Any]) -> str:
    """Return the canonical JSON text of a document.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON doesn't have.
    """
    return json.dumps(document, sort_keys=True, indent=2, allow_nan=False) + "\n"


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document's canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document of JSON values atomically, with its format and checksum; its folder must exist.

    Raises
    ------
    ValueError
        For NaN and infinities.
    RcigError
        If it can't be written; an existing file is unchanged.
    """
    complete = {**document, "format": FORMAT}
    text = canonical({**complete, _CHECKSUM: digest_of(complete)})
    write_bytes_atomically(path, text.encode())


class OtherFormat(Corrupt):
    """Written by another version, in a format that this one doesn't read."""


def read_document(path: Path) -> dict[str, Any]:
    """Read a document; return it without its format and checksum.

    Raises
    ------
    NotFound
        If there is no such file.
    Corrupt
        If it is damaged, or of another format.
    """
    with storage_errors(path, "read"):
        text = path.read_bytes()
    document = parse(text, str(path))
    found = document.get("format")
    if not isinstance(found, int):
        raise Corrupt(f"{path} is damaged: its format is {shorten(found)}, but should be a number.")
    if found > FORMAT:
        raise OtherFormat(
            f"{path} was written by a newer rcig (format {found}). This version reads format {FORMAT}: "
            "upgrade rcig-cli to use it."
        )
    if found < FORMAT or _CHECKSUM not in document:
        raise other_format(path)
    checksum = document.pop(_CHECKSUM)
    try:
        sound = checksum == digest_of(document)
        sound = sound and text == canonical({**document, _CHECKSUM: checksum}).encode()
    except ValueError:  # NaN
        sound = False
    if not sound:
        raise Corrupt(f"{path} is damaged: it has changed since it was written.")
    del document["format"]
    return document


def other_format(path: Path) -> OtherFormat:
    """Return the error for a document whose fields are not those of this version."""
    return OtherFormat(
        f"{path} was written by another version of rcig, in a format that this version doesn't read. "
        "Use that version, or make a new store with --store."
    )


def parse(text: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object in UTF-8, which errors call `where`.

    Raises
    ------
    Corrupt
        If it isn't a JSON object.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Corrupt(f"{where} is damaged: it isn't readable JSON ({error}).") from error
    if not isinstance(document, dict):
        raise Corrupt(f"{where} is damaged: it holds {shorten(document)} instead of a JSON object.")
    return document


@dataclass(frozen=True)
class Listing(Generic[Record]):
    """The readable records of a folder, in order, and a sentence about each of the others."""

    found: tuple[Record, ...]
    problems: tuple[str, ...]


def read_each(paths: Iterable[Path], read: Callable[[Path], Record]) -> Listing[Record]:
    """Read every path with `read`; where that raises `Corrupt`, the others are still read."""
    found, problems = [], []
    for path in paths:
        try:
            found.append(read(path))
        except NotFound:  # removed by another process since the folder was listed
            continue
        except Corrupt as error:
            problems.append(str(error))
    return Listing(tuple(found), tuple(problems))
