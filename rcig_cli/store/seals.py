"""Seals: how a document vouches for itself.

A sealed document has a field ``sha256``, the digest of the canonical bytes of all its other fields.  As a
document is written in one canonical way only, a byte that is changed, lost or added leaves it either with
another digest or written in another way.  Documents from before there were seals have none.
"""

from collections.abc import Mapping
from typing import Any

from rcig_cli.store.documents import canonical, digest_of

SEAL = "sha256"


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
    if any(_is_nearly_seal(name) for name in document):
        return "has changed since it was written"
    return None if text == expected else "isn't written as rcig writes it"


def _is_nearly_seal(name: str) -> bool:
    """Whether a name is the seal's with one letter changed, lost or added."""
    same = next((at for at in range(len(SEAL)) if name[at : at + 1] != SEAL[at]), len(SEAL))
    changed = name[same + 1 :] == SEAL[same + 1 :]
    return changed or name[same:] == SEAL[same + 1 :] or name[same + 1 :] == SEAL[same:]
