"""Checkpoints: the whole state of a run at a step, so that a killed run goes on as if nothing had been.

``checkpoints/<step>/`` holds the leaves of the state as Orbax writes them (in ``state/``, one array
a leaf) and a manifest with each leaf's path, shape and dtype and each file's SHA-256.  It is made aside
and renamed when it is complete.  The newest that is sound counts.
"""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from numpy.typing import NDArray

from rcig_cli.errors import Corrupt, NotFound, RcigError
from rcig_cli.store.asides import remove_dead_asides
from rcig_cli.store.checkpoint_manifest import (
    CHECKPOINTS,
    damaged,
    read_checkpoint_manifest,
    steps,
    write_checkpoint_manifest,
)
from rcig_cli.store.digests import digests, mismatches
from rcig_cli.store.files import (
    aside_folder,
    place_folder,
    remove_folder,
    storage_errors,
)
from rcig_cli.store.plain import check_own

__all__ = ["CHECKPOINTS", "Restored", "latest", "load", "save", "steps"]

_STATE = "state"
_SYSTEM_ERROR = re.compile(r"os_error_code='?([0-9]+)")


@dataclass(frozen=True)
class Restored:
    """A state that was read back.

    Parameters
    ----------
    step
        The step it was saved at.
    state
        In the structure of the template, with numpy arrays as leaves.
    warnings
        A sentence for each newer checkpoint that was damaged and passed over.
    """

    step: int
    state: Any
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Leaf:
    """What is known about a leaf without its values."""

    path: str
    shape: tuple[int, ...]
    dtype: str

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "shape": list(self.shape), "dtype": self.dtype}

    def __str__(self) -> str:
        return f"{self.path} {self.dtype} {list(self.shape)}"


def save(run_path: Path, step: int, state: Any, *, keep: int = 2) -> Path:
    """Save a state, which is then the newest, and remove older ones.

    The caller holds the run's lock.  A checkpoint of the same step is replaced; those of later steps
    (of a past that was given up) are removed.

    Parameters
    ----------
    run_path
        The run's folder.
    step
        How many outer steps are done.
    state
        A pytree of numpy or JAX arrays (bool, integers, floats; random keys as their data).
    keep
        How many checkpoints to leave, this one included.

    Returns
    -------
    Path
        The checkpoint's folder.

    Raises
    ------
    RcigError
        If it can't be written; the checkpoints there before still stand.
    """
    folder = check_own(run_path / CHECKPOINTS)
    remove_dead_asides(run_path)
    with aside_folder(folder) as aside:
        _write(aside, step, state)
        place_folder(aside, folder / str(step))
    prune(run_path, step, keep=keep)
    return folder / str(step)


def prune(run_path: Path, newest: int, *, keep: int = 2) -> None:
    """Leave `keep` checkpoints up to the newest, which a `save` that was killed may not have come to.

    Raises
    ------
    RcigError
        If one can't be removed.
    """
    check_own(run_path / CHECKPOINTS)
    present = steps(run_path)
    wanted = [step for step in present if step <= newest][-keep:]
    for step in present:
        if step not in wanted:
            remove_folder(run_path / CHECKPOINTS / str(step))


def load(run_path: Path, step: int, template: Any) -> Restored:
    """Read the state saved at a step.

    Parameters
    ----------
    run_path
        The run's folder.
    step
        One of `steps`.
    template
        A pytree of the same structure, with arrays (or ``jax.ShapeDtypeStruct``) of the same shapes
        and dtypes as leaves.

    Raises
    ------
    NotFound
        If there is no checkpoint of that step.
    Corrupt
        If it is damaged, or doesn't fit the template.
    """
    folder = run_path / CHECKPOINTS / str(step)
    if not folder.is_dir():
        raise NotFound(f"{run_path.name} has no checkpoint at step {step}.")
    leaves, structure = _flatten(template)
    expected = [_describe(path, leaf) for path, leaf in leaves]
    _verify(folder, expected)
    return Restored(step, jax.tree_util.tree_unflatten(structure, _read_leaves(folder, expected)))


def latest(run_path: Path, template: Any) -> Restored | None:
    """Read the newest checkpoint that is sound.

    Parameters
    ----------
    run_path
        The run's folder.
    template
        As for `load`.

    Returns
    -------
    Restored or None
        None if the run has no checkpoints.

    Raises
    ------
    Corrupt
        If it has some, and all are damaged.
    """
    unsound: dict[int, str] = {}
    for step in reversed(steps(run_path)):
        try:
            restored = load(run_path, step, template)
        except Corrupt as error:
            unsound[step] = str(error)
            continue
        return Restored(step, restored.state, _warnings(unsound, step))
    if unsound:
        raise Corrupt(f"No checkpoint of {run_path.name} can be used. {' '.join(unsound.values())}")
    return None


def _warnings(unsound: Mapping[int, str], step: int) -> tuple[str, ...]:
    return tuple(f"{reason} Going on from step {step} in place of {bad}." for bad, reason in unsound.items())


def _write(aside: Path, step: int, state: Any) -> None:
    leaves, _ = _flatten(state)
    described = [_describe(path, leaf) for path, leaf in leaves]
    _write_leaves(aside / _STATE, [np.asarray(leaf) for leaf in jax.device_get([leaf for _, leaf in leaves])])
    write_checkpoint_manifest(aside, step, [leaf.to_json() for leaf in described], digests(aside))


def _write_leaves(path: Path, arrays: list[NDArray[Any]]) -> None:
    # Orbax refuses empty arrays; the template alone determines them.
    named = {_name(index): array for index, array in enumerate(arrays) if array.size}
    if named:
        with storage_errors(path.parent.parent), _orbax() as checkpointer:
            checkpointer.save(path.absolute(), named)
            # It names this folder by its full path, which has no place in a run that is given away.
            (path / "commit_success.txt").unlink(missing_ok=True)


def _read_leaves(folder: Path, expected: list[_Leaf]) -> list[NDArray[Any]]:
    stored = {_name(index): leaf for index, leaf in enumerate(expected) if 0 not in leaf.shape}
    found = _read_stored(folder, stored) if stored else {}
    return [found.get(_name(i), np.empty(leaf.shape, leaf.dtype)) for i, leaf in enumerate(expected)]


def _read_stored(folder: Path, stored: Mapping[str, _Leaf]) -> dict[str, NDArray[Any]]:
    path = (folder / _STATE).absolute()
    arguments = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in stored}
    try:
        with storage_errors(folder, "read"), _orbax() as checkpointer:
            _check_metadata(folder, checkpointer.metadata(path), stored)
            return dict(checkpointer.restore(path, restore_args=arguments))
    except RcigError:
        raise
    # Orbax and TensorStore report damage as whatever they happen to raise.
    except Exception as error:
        raise damaged(folder, (str(error) or type(error).__name__).splitlines()[0][:300]) from error


def _check_metadata(folder: Path, metadata: Any, stored: Mapping[str, _Leaf]) -> None:
    """Compare what the stored arrays declare with what is expected, before memory is taken for them."""
    tree = metadata.item_metadata.tree
    if set(tree) != set(stored):
        raise damaged(folder, "its arrays aren't those of its manifest")
    for name, leaf in stored.items():
        same = tuple(tree[name].shape) == leaf.shape and np.dtype(tree[name].dtype).name == leaf.dtype
        if not same or tuple(tree[name].storage.chunk_shape) != leaf.shape:
            raise damaged(folder, f"the array of {leaf.path} isn't that of its manifest")


def _verify(folder: Path, expected: list[_Leaf]) -> None:
    """Check everything about a checkpoint short of its values."""
    document = read_checkpoint_manifest(folder)
    for name, problem in mismatches(folder, document["files"]).items():
        raise damaged(folder, f"{name} {problem}")
    found = [_Leaf(leaf["path"], tuple(leaf["shape"]), leaf["dtype"]) for leaf in document["leaves"]]
    if found != expected:
        raise damaged(folder, f"it doesn't fit this run ({_difference(found, expected)})")


def _difference(found: list[_Leaf], expected: list[_Leaf]) -> str:
    for ours, theirs in zip(found, expected, strict=False):
        if ours != theirs:
            return f"it holds {ours}, and {theirs} is wanted"
    return f"it holds {len(found)} arrays, and {len(expected)} are wanted"


def _flatten(tree: Any) -> tuple[list[tuple[str, Any]], Any]:
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    return [
        (jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves
    ], structure


def _describe(path: str, leaf: Any) -> _Leaf:
    array = leaf if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else np.asarray(leaf)
    if not isinstance(array.dtype, np.dtype) or not (
        np.issubdtype(array.dtype, np.number) or array.dtype.name in ("bool", "bfloat16")
    ):
        raise TypeError(f"a checkpoint can't hold {path}, which is {array.dtype}")
    return _Leaf(path, tuple(array.shape), array.dtype.name)


def _name(index: int) -> str:
    return f"leaf_{index:05d}"


@contextmanager
def _orbax() -> Iterator[Any]:
    """Open Orbax, silent, with system errors of its C++ parts as ``OSError``.

    One file an array (no OCDBT) is twice as fast as Orbax's default here, for writing and for reading.
    It is told that this process is the only one: where there are several, it would wait for all of them at
    each step it takes, and only one writes.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        own = jax.process_index()
        alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
        handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, multiprocessing_options=alone)
        with (
            _late_words_unheard(),
            warnings.catch_warnings(action="ignore"),
            ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer,
        ):
            yield checkpointer
    except ValueError as error:
        code = _SYSTEM_ERROR.search(str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
    finally:
        logger.setLevel(level)


@contextmanager
def _late_words_unheard() -> Iterator[None]:
    """Pass over what is said of the other arrays once one has failed.

    TensorStore's threads report them to Orbax's event loop, which is closed by then, and asyncio logs them
    when their futures are collected: at any time until the process ends.  So after a failure this stays.
    """
    hook, logger = sys.unraisablehook, logging.getLogger("asyncio")
    sys.unraisablehook = _without_late_callbacks(hook)
    logger.addFilter(_is_not_late)
    yield
    logger.removeFilter(_is_not_late)
    sys.unraisablehook = hook


def _without_late_callbacks(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def filtered(unraisable: Any) -> None:
        late = isinstance(unraisable.exc_value, RuntimeError) and "loop is closed" in str(
            unraisable.exc_value
        )
        if not late:
            hook(unraisable)

    return filtered


def _is_not_late(record: logging.LogRecord) -> bool:
    return "exception was never retrieved" not in record.getMessage()
