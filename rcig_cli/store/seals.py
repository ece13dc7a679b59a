"""Seals: how a document vouches for itself.

A sealed document has a field ``sha256``, the digest of the canonical bytes of all its other fields.  As a
document is written in one canonical way only, a byte that is changed, lost or added leaves it either with
another digest or written in another way.  Documents from before there were seals have none.
"""

import re
from collections.abc import Mapping
from typing import Any

from rcig_cli.store.documents import canonical, digest_of

SEAL = "sha256"
_DIGEST = re.compile(r"[0-9a-f]{64}")


def sealed(document: Mapping[str, Any]) -> str:
    """Return the canonical text of a document with its seal.

    Raises
    ------
    ValueError
        For NaN and infinities, which JSON doesn't have.
    """
    bare = without_seal(document)
    return canonical({**bare, SEAL: digest_of(bare)})


def without_seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document's other fields."""
    return {name: value for name, value in document.items() if name != SEAL}


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether a document has a seal, sound or not."""
    return SEAL in document


def flaw(text: bytes, document: Mapping[str, Any]) -> str | None:
    """Find out whether a document is still the one that was written.

    Parameters
    ----------
    text
        The bytes of its file.
    document
        What they say.

    Returns
    -------
    str or None
        What is wrong, to follow the file's name; None if nothing is, as far as can be told without a seal.
    """
    try:
        expected, digest = canonical(document).encode(), digest_of(without_seal(document))
    except ValueError:  # NaN
        return "isn't written as rcig writes it"
    if is_sealed(document):
        return None if text == expected and document[SEAL] == digest else "has changed since it was written"
    # No document has a digest beside its seal: this was one, and its name is what has changed.
    if any(isinstance(value, str) and _DIGEST.fullmatch(value) for value in document.values()):
        return "has changed since it was written"
    return None if text == expected else "isn't written as rcig writes it"
