"""Which folders, or values of a column, name the splits of a data set.

A name is a word for training, testing or validation, in any case, such as ``Train``, ``testing`` or ``val``,
alone, with a general word or a number (``train_images``, ``test-set``, ``test1``), or with the same other
words as another split (``seg_train`` beside ``seg_test``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

Kind = Literal["train", "test", "val"]

WORDS: dict[str, Kind] = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("test", "testing", "tests", "tst", "te"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "vl", "va"), "val"),
    **dict.fromkeys(("dev", "devel", "development", "eval", "evaluation"), "val"),
}
_GENERAL = {"set", "sets", "data", "dataset", "split", "folder", "image", "images", "img", "imgs"}
_GENERAL |= {"part", "parts", "batch", "batches", "chunk", "shard", "fold", "zip", "archive"}
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_JOINED = re.compile(rf"({'|'.join(sorted(WORDS, key=len, reverse=True))})(set|data|images?|imgs?)")


def split_kinds(names: Iterable[str]) -> dict[str, Kind]:
    """Return those of the names that name a split, each with what it is for."""
    found = {name: parts for name in names if (parts := _parts(name)) is not None}
    rests = Counter(rest for _, rest in found.values())
    return {name: kind for name, (kind, rest) in found.items() if not rest or rests[rest] > 1}


def _parts(name: str) -> tuple[Kind, str] | None:
    """What the only word for a split in a name is for, and the other words; None without such a word."""
    tokens: list[str] = []
    for token in _TOKEN.findall(_CAMEL.sub(" ", name)):
        joined = _JOINED.fullmatch(token.lower())
        tokens += joined.groups() if joined else [token.lower()]
    words = [token for token in tokens if token in WORDS]
    # Words of two letters count only alone.
    if len(words) != 1 or (len(words[0]) == 2 and len(tokens) > 1):
        return None
    rest = [token for token in tokens if not (token in words or token in _GENERAL or token.isdecimal())]
    return WORDS[words[0]], " ".join(rest)


def names_splits(column: str) -> bool:
    """Whether a column of this name may say which images are for testing, as ``split`` or ``is_test``."""
    plain = column.lower().removeprefix("is_").removeprefix("is")
    return plain in ("split", "set", "subset", "partition", "phase") or bool(split_kinds([plain]))


def is_general(name: str) -> bool:
    """Whether a name speaks of images, data or parts of them only, as ``images`` and ``part_1``."""
    words = {token for token in _TOKEN.findall(name.lower()) if not token.isdecimal()}
    return bool(words) and words <= _GENERAL
