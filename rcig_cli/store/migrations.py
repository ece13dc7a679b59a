"""Older formats, brought up to this one when they are read.

A step takes a document of one format and returns it as the next format has it; a document goes through as
many as it needs.  Reading never writes: what was migrated is written in this format when it is next
written.  A step changes how a document says something and never what it says, so that a data set keeps
the digest that its runs know it by.

Format 0 was never in anybody's hands: it was made to have something to migrate, and the tests keep a store
of it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from rcig_cli.errors import Corrupt
from rcig_cli.store.documents import FORMAT, check_format, read_document
from rcig_cli.store.seals import without_seal

Kind = Literal["store", "dataset", "run", "sweep", "checkpoint", "result"]
Document = dict[str, Any]
Step = Callable[[Document], Document]


def read_current(path: Path, kind: Kind) -> Document:
    """Read a document of this format or an older one.

    Parameters
    ----------
    path
        Its file.
    kind
        What it is.

    Returns
    -------
    dict
        As this format has it, without its seal.

    Raises
    ------
    NotFound
        If there is no such file.
    Corrupt
        If it is damaged, or of a newer format.
    """
    return current(read_document(path), path, kind)


def current(document: Mapping[str, Any], path: Path, kind: Kind) -> Document:
    """Bring a document up to this format; one that is of it already comes back without its seal.

    Parameters
    ----------
    document
        Of any format up to this one.
    path
        Where it came from, for errors.
    kind
        What it is.

    Raises
    ------
    Corrupt
        If it isn't as its format has it, or is of a newer one.
    """
    found, moved = document.get("format"), without_seal(document)
    if isinstance(found, int) and not isinstance(found, bool) and 0 <= found < FORMAT:
        for number in range(found, FORMAT):
            try:
                moved = {**_STEPS[number][kind](moved), "format": number + 1}
            except (KeyError, TypeError, ValueError) as error:
                raise Corrupt(f"{path} is damaged: it isn't as format {number} has it.") from error
    check_format(moved, path)
    return moved


def _same(document: Document) -> Document:
    return document


def _dataset_from_0(document: Document) -> Document:
    """Format 0 had ``classes`` for ``class_names``, and ``train`` and ``test`` for ``sizes``."""
    rest = _without(document, "classes", "train", "test")
    sizes = {"train": document["train"], "test": document["test"]}
    return {**rest, "class_names": document["classes"], "sizes": sizes}


def _run_from_0(document: Document) -> Document:
    """Format 0 had ``finished`` for ``status``, one ``parent``, and the seed in the configuration only."""
    status = "finished" if document["finished"] else "interrupted"
    seed = document["config"]["seed"]
    return {**_with_parents(_without(document, "finished")), "status": status, "seed": seed}


def _with_parents(document: Document) -> Document:
    """Format 0 had the digest of the data set alone, as ``parent``."""
    parent = {"name": document["dataset"], "digest": document["parent"]}
    return {**_without(document, "parent"), "parents": {"dataset": parent}}


def _checkpoint_from_0(document: Document) -> Document:
    """Format 0 had a leaf as a list of its path, dtype and shape."""
    leaves = [{"path": path, "dtype": dtype, "shape": shape} for path, dtype, shape in document["leaves"]]
    return {**document, "leaves": leaves}


def _without(document: Document, *names: str) -> Document:
    return {name: value for name, value in document.items() if name not in names}


# One entry for each older format: the step to the next.
_STEPS: tuple[Mapping[Kind, Step], ...] = (
    {
        "store": _same,
        "dataset": _dataset_from_0,
        "run": _run_from_0,
        "sweep": _with_parents,
        "checkpoint": _checkpoint_from_0,
        "result": _same,
    },
)
assert len(_STEPS) == FORMAT
