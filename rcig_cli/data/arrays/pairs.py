"""Which arrays are images and which are labels, and of which split, by the words in their names.

A name has a word for the split (``train``, ``test``, ``val``) and one for the content (``x``, ``images``;
``y``, ``labels``), in any order and case, joined or separated.  Any other words, such as the name of the data
set, say which images and labels belong together.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rcig_cli.data.formats.split_names import WORDS
from rcig_cli.data.sources.source import Note, Split
from rcig_cli.errors import ConfigError, listed

_SPLITS = {**WORDS, "t10k": "test"}
_CONTENTS = {
    **dict.fromkeys(("x", "image", "images", "img", "imgs", "picture", "pictures", "pixels"), "images"),
    **dict.fromkeys(("input", "inputs", "feature", "features", "sample", "samples"), "images"),
    **dict.fromkeys(("y", "label", "labels", "lbl", "lbls", "target", "targets"), "labels"),
    **dict.fromkeys(("class", "classes"), "labels"),
}
_NEUTRAL = ("data", "set", "dataset", "arr", "array", "arrays", "idx1", "idx2", "idx3", "idx4")
_FIRST_SPLIT = re.compile(
    f"({'|'.join(word for word in _SPLITS if len(word) > 2)})({'|'.join((*_CONTENTS, 'data', 'set'))})"
)
_FIRST_CONTENT = re.compile(f"({'|'.join((*_CONTENTS, 'data'))})({'|'.join(_SPLITS)})")
_JOINT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")
_SHOWN = 20  # names that a message lists

_WANTED = "save x_train, y_train, x_test and y_test, or images and labels"


@dataclass(frozen=True)
class Key:
    """What the words of a name say: ``split`` and ``content``, which may be empty, and the other words."""

    split: str
    content: str
    rest: tuple[str, ...]


def read_key(name: str) -> Key:
    """Take a name apart; if it has words for several splits or contents, all are in ``rest``."""
    words: list[str] = []
    for word in filter(None, _JOINT.split(name)):
        joined = _FIRST_SPLIT.fullmatch(word.lower()) or _FIRST_CONTENT.fullmatch(word.lower())
        words += joined.groups() if joined else (word.lower(),)
    splits = {_SPLITS[word] for word in words if word in _SPLITS}
    contents = {_CONTENTS[word] for word in words if word in _CONTENTS}
    if len(splits) > 1 or len(contents) > 1:
        return Key("", "", tuple(words))
    content = "images" if not contents and "data" in words else "".join(contents)
    rest = tuple(word for word in words if word not in (*_SPLITS, *_CONTENTS, *_NEUTRAL))
    return Key("".join(splits), content, rest)


def find_pairs(
    where: object, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[Split, tuple[str, str]], tuple[Note, ...]]:
    """Find the images and labels of each split.

    Parameters
    ----------
    where
        The file or folder, for errors.
    shapes
        The shape of each array, by name.

    Returns
    -------
    pairs : dict
        The names of images and labels of ``"train"``, and of ``"test"`` unless the data have no such split.
    notes : tuple of Note
        What was assumed and what is not used, unless the names are ``x_train, y_train, x_test, y_test``.

    Raises
    ------
    ConfigError
        If no arrays are named as images and labels, or several are that might be meant.
    """
    groups: defaultdict[tuple[str, ...], _Group] = defaultdict(_Group)
    for name, shape in shapes.items():
        key = read_key(name)
        split = key.split or "train"
        if key.content == "labels":
            groups[key.rest].labels[split].append(name)
        elif key.content or (key.split and len(shape) > 1):  # an array called just "train" has the images
            groups[key.rest].images[split].append(name)
    complete = [group for group in groups.values() if group.images.keys() & group.labels.keys()]
    if not complete:
        return _by_shapes(where, shapes)
    for names in (names for group in complete for names in group.all() if len(names) > 1):
        raise ConfigError(f"{where} has {_listed(names)} for the same thing: remove or rename all but one.")
    if len(complete) > 1:
        first = [next(iter(group.images.values()))[0] for group in complete]
        raise ConfigError(
            f"{where} holds several data sets, with the images {_listed(first)}: separate them."
        )
    images = {split: name for split, (name,) in complete[0].images.items()}
    labels = {split: name for split, (name,) in complete[0].labels.items()}
    for split, name in labels.items():
        if split not in images:
            raise ConfigError(f"{where} has {_listed([name])} but no images for these labels: {_WANTED}.")
    if "train" not in labels:
        raise ConfigError(f"{where} has no training images with labels: {_WANTED}.")
    pairs: dict[Split, tuple[str, str]] = {"train": (images["train"], labels["train"])}
    test = next((split for split in ("test", "val") if split in labels), None)
    if test is not None:
        pairs["test"] = images[test], labels[test]
    return pairs, _notes(shapes, pairs, [name for split, name in images.items() if split not in labels])


@dataclass(frozen=True)
class _Group:
    """The names of the arrays of a data set, by split; there should be one for each."""

    images: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    labels: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def all(self) -> list[list[str]]:
        """Return the names for the images and for the labels of each split."""
        return [*self.images.values(), *self.labels.values()]


def _by_shapes(
    where: object, shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[Split, tuple[str, str]], tuple[Note, ...]]:
    """Take two arrays of any names for images and labels if their shapes allow only that."""
    if not shapes:
        raise ConfigError(f"{where} has no arrays of numbers: {_WANTED}.")
    names = sorted(shapes, key=lambda name: math.prod(shapes[name]), reverse=True)
    if len(names) == 2 and not any(read_key(name).split for name in names):
        images, labels = names
        count = math.prod(shapes[labels])
        if shapes[images][:1] == (count,) and math.prod(shapes[images]) > count > 0:
            pairs: dict[Split, tuple[str, str]] = {"train": (images, labels)}
            return pairs, (_note_of(pairs, "By their shapes, the "),)
    raise ConfigError(
        f"{where} has {_listed(shapes)}, whose names don't say which are images and "
        f"which are their labels: {_WANTED}."
    )


def _note_of(pairs: Mapping[Split, tuple[str, str]], start: str = "The ") -> Note:
    kinds = {"train": "training ", "test": "test "} if "test" in pairs else {"train": ""}
    parts = (
        f"{kinds[split]}images are in {_listed([images])}, their labels in {_listed([labels])}"
        for split, (images, labels) in pairs.items()
    )
    return Note("splits", f"{start}{'; the '.join(parts)}.")


def _notes(
    shapes: Mapping[str, tuple[int, ...]], pairs: Mapping[Split, tuple[str, str]], without: list[str]
) -> tuple[Note, ...]:
    notes: list[Note] = []
    used = [name for pair in pairs.values() for name in pair]
    if used not in (["x_train", "y_train", "x_test", "y_test"], ["x_train", "y_train"]):
        notes.append(_note_of(pairs))
    unused = [name for name in shapes if name not in (*used, *without)]
    if without:
        notes.append(Note("skipped", f"Not used because it has no labels: {_listed(without)}."))
    if unused:
        notes.append(Note("skipped", f"Not used: {_listed(unused)}."))
    return tuple(notes)


def _listed(names: Collection[str]) -> str:
    """Join names that come from a file, at most `_SHOWN` of them, without control characters."""
    return listed(
        [name if name.isprintable() and len(name) <= 80 else repr(name[:80]) for name in names], _SHOWN
    )
