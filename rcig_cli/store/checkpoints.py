"""Checkpoints: the complete state of a run at a step, from which an interrupted run is resumed.

``checkpoints/<step>/`` holds the leaves of the state in ``state.safetensors``, named by their path in the
pytree, and a manifest with the SHA-256 of that file.  It is written under a temporary name and renamed when
it is complete. A run is resumed from the newest checkpoint that is not damaged.
"""

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.store.files import (
    publish,
    remove_abandoned,
    remove_folder,
    storage_errors,
    temporary_folder,
)
from rcig_cli.store.records import CheckpointManifest, read_manifest, write_manifest

CHECKPOINTS = "checkpoints"
STATE = "state.safetensors"

_KEPT = 2  # checkpoints
_STEP = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Restored:
    """The state at a step, and a sentence for each newer checkpoint that can't be read."""

    step: int
    state: Any
    warnings: tuple[str, ...] = ()


def save(run_path: Path, step: int, state: Any) -> None:
    """Save a state as the newest checkpoint, and remove older ones.

    The caller holds the run's lock.  Existing checkpoints of this and later steps are removed: they are
    damaged, or of an abandoned branch, since the run was resumed from an earlier one.

    Parameters
    ----------
    run_path
        The run's folder.
    step
        How many outer steps are done.
    state
        A pytree of NumPy or JAX arrays (bool, integers, floats; random keys as their data).

    Raises
    ------
    RcigError
        If it can't be written; the existing checkpoints are unchanged.
    """
    import jax
    import numpy as np
    from safetensors.numpy import save as to_bytes

    paths, _ = _flatten(state)
    leaves = jax.device_get(paths)
    content = to_bytes({path: np.asarray(leaf, order="C") for path, leaf in leaves.items()})
    manifest = CheckpointManifest(step=step, files={STATE: hashlib.sha256(content).hexdigest()})
    final = run_path / CHECKPOINTS / str(step)
    remove_abandoned(run_path)
    with temporary_folder(final.parent) as temporary:
        with storage_errors(final):
            (temporary / STATE).write_bytes(content)
        write_manifest(temporary, manifest)
        if final.exists():
            remove_folder(final)
        publish(temporary, final)
    prune(run_path, step)


def prune(run_path: Path, newest: int, *, kept: int = _KEPT) -> None:
    """Remove all checkpoints but the last ones, ``kept`` of them, up to step `newest`.

    Raises
    ------
    RcigError
        If one can't be removed.
    """
    present = steps(run_path)
    wanted = [step for step in present if step <= newest][-kept:]
    for step in present:
        if step not in wanted:
            remove_folder(run_path / CHECKPOINTS / str(step))


def copy(source: Path, target: Path, step: int) -> None:
    """Copy the checkpoint of a step from the folder of a run into that of another one.

    Raises
    ------
    RcigError
        If it can't be copied.
    """
    name = f"{CHECKPOINTS}/{step}"
    with storage_errors(target / name):
        shutil.copytree(source / name, target / name)


def is_step(name: str) -> bool:
    """Whether a checkpoint may have this name."""
    return _STEP.fullmatch(name) is not None


def steps(run_path: Path) -> list[int]:
    """Return the steps at which a run has checkpoints, damaged or not, in ascending order."""
    folder = run_path / CHECKPOINTS
    with storage_errors(folder, "read"):
        entries = list(folder.iterdir()) if folder.is_dir() else []
    return sorted(int(entry.name) for entry in entries if is_step(entry.name) and entry.is_dir())


def latest(run_path: Path, template: Any) -> Restored | None:
    """Read the newest checkpoint that is not damaged; see `load`.  None if the run has no checkpoints.

    Raises
    ------
    Corrupt
        If none of its checkpoints can be read.
    """
    unreadable: list[str] = []
    for step in reversed(steps(run_path)):
        try:
            state = load(run_path, step, template)
        except Corrupt as error:
            unreadable.append(str(error))
        else:
            return Restored(
                step, state, tuple(f"{why} Resuming from step {step} instead." for why in unreadable)
            )
    if unreadable:
        raise Corrupt(
            f"No checkpoint of {run_path.name} can be used: start a new run. {' '.join(unreadable)}"
        )
    return None


def load(run_path: Path, step: int, template: Any) -> Any:
    """Read the state saved at a step, with NumPy arrays as leaves.

    Parameters
    ----------
    run_path, step
        The run's folder, and one of `steps`.
    template
        A pytree of the same structure, with arrays (or ``jax.ShapeDtypeStruct``) of the same shapes and
        dtypes as leaves.

    Raises
    ------
    Corrupt
        If it is damaged, or of another format.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    folder = run_path / CHECKPOINTS / str(step)
    subject = f"Checkpoint {step} of {run_path.name}"
    try:
        manifest = read_manifest(folder, CheckpointManifest)
        with storage_errors(folder / STATE, "read"):
            content = (folder / STATE).read_bytes()
        found = dict(from_bytes(content))
    except (NotFound, SafetensorError) as error:
        raise Corrupt(f"{subject} is damaged: {str(error).rstrip('.')}.") from error
    if manifest.step != step:
        raise Corrupt(f"{subject} is damaged: its manifest is of step {manifest.step}.")
    if hashlib.sha256(content).hexdigest() != manifest.files.get(STATE):
        raise Corrupt(f"{subject} is damaged: {STATE} has changed since it was written.")
    leaves, structure = _flatten(template)
    expected = {(path, _described(leaf)) for path, leaf in leaves.items()}
    differing = sorted(expected ^ {(path, _described(leaf)) for path, leaf in found.items()})
    if differing:
        raise Corrupt(
            f"{subject} was written by another version of rcig and can't be resumed: its state has other "
            f"arrays (for example {' '.join(differing[0])})."
        )
    return structure.unflatten([found[path] for path in leaves])


def _flatten(tree: Any) -> tuple[dict[str, Any], Any]:
    """Return the leaves of a pytree by their path, and its structure."""
    import jax

    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    by_path = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}
    assert len(by_path) == len(leaves), "two leaves of the state have the same path"
    return by_path, structure


def _described(leaf: Any) -> str:
    import numpy as np

    array = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return f"{np.dtype(array.dtype).name} {list(array.shape)}"
