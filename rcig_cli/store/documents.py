"""JSON documents: one canonical way to write them, one guarded way to read them.

Canonical means sorted keys, an indent of two, a final newline and ASCII only, so that equal documents
have equal bytes and a digest of the bytes is a digest of the content.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt
from rcig_cli.store.files import storage_errors
from rcig_cli.store.names import shorten
from rcig_cli.store.plain import read_plain

FORMAT = 1
MAX_BYTES = 64 * 2**20


def canonical(document: Mapping[str, Any]) -> str:
    """Return the one text of a document.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON doesn't have.
    """
    return json.dumps(document, sort_keys=True, indent=2, allow_nan=False) + "\n"


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a document's canonical bytes, in hexadecimal."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    NotFound
        If there is no such file.
    Corrupt
        If it isn't a JSON object in UTF-8, or is larger than any document of ours (64 MiB).
    """
    return parse(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Read the bytes of a document.

    Raises
    ------
    NotFound
        If there is no such file.
    Corrupt
        If it is no plain file, or larger than any document of ours (64 MiB).
    """
    with storage_errors(path, "read"):
        return read_plain(path, MAX_BYTES, "document")


def parse(text: bytes, where: str) -> dict[str, Any]:
    """Parse the bytes of a JSON object.

    Parameters
    ----------
    text
        UTF-8.
    where
        What to call it in an error.

    Raises
    ------
    Corrupt
        If it isn't a JSON object.
    """
    try:
        document = json.loads(text.decode(), parse_constant=_finite, parse_float=_finite)
    # Brackets nested by the thousand exhaust the stack.
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{where} is damaged: it isn't readable JSON ({error}).") from error
    if not isinstance(document, dict):
        raise Corrupt(f"{where} is damaged: it holds {shorten(document)} in place of a JSON object.")
    return document


def _finite(number: str) -> float:
    """Read a number; Python's JSON has NaN and infinities too, and takes 1e400 for one."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{shorten(number)} is no number of JSON, or too large")
    return value


def check_format(document: Mapping[str, Any], path: Path) -> None:
    """Refuse what this version can't read.

    Raises
    ------
    Corrupt
        If the format's number is newer than 1, or isn't a number.
    """
    found = document.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise Corrupt(f"{path} is damaged: its format is {shorten(found)}, and should be a number from 1.")
    if found > FORMAT:
        raise Corrupt(
            f"{path} was written by a newer rcig (format {found}); this one reads format {FORMAT}. "
            "Upgrade rcig-cli to use it."
        )
