"""What a checkpoint says about itself: its step, its leaves and the digests of its files.

Apart from `checkpoints`, so that looking at one costs no JAX and no Orbax.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.store.checks import digests_by_path, exactly, holding, listing, natural, problems_of, text
from rcig_cli.store.documents import FORMAT
from rcig_cli.store.files import storage_errors, write_text_atomically
from rcig_cli.store.manifest import MANIFEST
from rcig_cli.store.migrations import read_current
from rcig_cli.store.seals import sealed

CHECKPOINTS = "checkpoints"

_STEP = re.compile(r"0|[1-9][0-9]{0,17}")
_LEAF = holding("a leaf", {"path": text, "shape": listing("lengths", natural), "dtype": text})
_CHECKS = {
    "format": exactly(FORMAT),
    "kind": exactly("checkpoint"),
    "step": natural,
    "leaves": listing("leaves", _LEAF),
    "files": digests_by_path,
}


def is_step(name: str) -> bool:
    """Whether a checkpoint may have this name."""
    return _STEP.fullmatch(name) is not None


def steps(run_path: Path) -> list[int]:
    """Return the steps at which a run has checkpoints, sound or not, in ascending order."""
    folder = run_path / CHECKPOINTS
    with storage_errors(folder, "read"):
        entries = list(folder.iterdir()) if folder.is_dir() else []
    return sorted(int(entry.name) for entry in entries if is_step(entry.name) and entry.is_dir())


def read_checkpoint_manifest(folder: Path) -> dict[str, Any]:
    """Read what the checkpoint in a folder, called after its step, says about itself.

    Raises
    ------
    Corrupt
        If it is damaged, of another step, or of a newer format.
    """
    try:
        document = read_current(folder / MANIFEST, "checkpoint")
    except NotFound as error:
        raise damaged(folder, "it has no manifest") from error
    return check_checkpoint(document, folder)


def check_checkpoint(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return what a checkpoint says about itself, if it can be.

    Raises
    ------
    Corrupt
        If a field is missing, unknown or wrong, or it is of another step than its folder.
    """
    problems = problems_of(document, _CHECKS)
    if problems:
        raise damaged(folder, "; ".join(problems))
    if str(document["step"]) != folder.name:
        raise damaged(folder, f"its manifest is of step {document['step']}")
    return document


def write_checkpoint_manifest(
    folder: Path, step: int, leaves: Sequence[Mapping[str, Any]], files: Mapping[str, str]
) -> None:
    """Write what a checkpoint says about itself into its folder.

    Parameters
    ----------
    folder
        Where its state is already.
    step
        How many outer steps are done.
    leaves
        The "path", "shape" and "dtype" of each leaf, in their order.
    files
        From each file's path, relative to the folder, to its SHA-256.
    """
    document = {"format": FORMAT, "kind": "checkpoint", "step": step, "leaves": leaves, "files": files}
    write_text_atomically(folder / MANIFEST, sealed(document))


def damaged(folder: Path, reason: str) -> Corrupt:
    """Return the error that says what is wrong with a checkpoint."""
    return Corrupt(f"Checkpoint {folder.name} of {folder.parent.parent.name} is damaged: {reason}.")
