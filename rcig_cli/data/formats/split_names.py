"""Which folders, or values of a column, name the splits of a data set.

A name is a word for training, testing or validation, in any case, such as ``Train``, ``testing`` or ``val``,
alone, with a word that says nothing (``train_images``, ``test-set``, ``test1``), or with the same other words
as the other splits (``seg_train`` beside ``seg_test``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

Kind = Literal["train", "test", "val"]

_WORDS: dict[str, Kind] = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("test", "testing", "tests", "tst", "te"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "vl", "va"), "val"),
    **dict.fromkeys(("dev", "devel", "development", "eval", "evaluation"), "val"),
}
_NEUTRAL = {"", "set", "sets", "data", "dataset", "split", "folder", "image", "images", "img", "imgs"}
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINED = re.compile(rf"({'|'.join(sorted(_WORDS, key=len, reverse=True))})(set|data|images?|imgs?)")


def split_kinds(names: Iterable[str]) -> dict[str, Kind]:
    """Return those of the names that name a split, each with what it is for."""
    found = {name: parts for name in names if (parts := _parts(name)) is not None}
    rests = Counter(rest for _, rest in found.values())
    return {
        name: kind
        for name, (kind, rest) in found.items()
        if rest in _NEUTRAL or rest.isdecimal() or rests[rest] > 1
    }


def _parts(name: str) -> tuple[Kind, str] | None:
    """The word for a split in a name, and the rest of it; None unless there is exactly one such word."""
    tokens: list[str] = []
    for token in _TOKEN.findall(_CAMEL.sub(" ", name)):
        joined = _JOINED.fullmatch(token.lower())
        tokens += joined.groups() if joined else [token.lower()]
    words = [token for token in tokens if token in _WORDS]
    # Words of two letters count only alone.
    if len(words) != 1 or (len(words[0]) == 2 and len(tokens) > 1):
        return None
    rest = [token for token in tokens if token != words[0]]
    return _WORDS[words[0]], " ".join(rest) if set(rest) - _NEUTRAL else ""


def names_images(name: str) -> bool:
    """Whether a name is a word for images or data in general, such as ``images``."""
    return name.lower() in _NEUTRAL
