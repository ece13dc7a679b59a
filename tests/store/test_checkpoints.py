"""Checkpoints are exact, and a damaged one is found."""

import os
import shutil
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.errors import Corrupt
from rcig_cli.store.checkpoints import latest, load, save, steps


class Adam(NamedTuple):
    count: np.ndarray
    moments: dict


class Empty(NamedTuple):
    pass


def make_state(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "psi": jnp.asarray(rng.normal(size=(10, 4, 4, 1)), jnp.float32),
        "optimizer": (Adam(np.int64(seed), {"w": rng.normal(size=(3, 2)), "b": np.full(3, -0.0)}), Empty()),
        "pool": [np.arange(4, dtype=np.uint32), np.array([True, False]), np.zeros((0, 3), np.float32), None],
        "zeros": np.full((2, 2), -0.0, np.float32),
        "half": np.full(3, -0.0, np.float16),
        "transposed": np.arange(6, dtype=np.int32).reshape(2, 3).T,
        "scalar": np.float32(0.1),
        "step": seed,
    }


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), map(np.asarray, jax.tree.leaves(expected)), strict=True):
        assert type(one) is np.ndarray
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def flip(path, position=None):
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 1
    path.write_bytes(content)


def state_file(run_path, step):
    return run_path / "checkpoints" / str(step) / "state.safetensors"


@pytest.fixture
def run_path(tmp_path):
    path = tmp_path / "run_1"
    path.mkdir()
    return path


@pytest.fixture
def two(run_path):
    """Make a run with sound checkpoints at steps 10 and 20."""
    for step in (10, 20):
        save(run_path, step, make_state(step))
    return run_path


def test_a_state_comes_back_bit_for_bit_in_its_own_containers(run_path):
    save(run_path, 7, make_state(3))
    restored = latest(run_path, make_state(0))
    assert (restored.step, restored.warnings) == (7, ())
    assert_same(restored.state, make_state(3))
    assert isinstance(restored.state["optimizer"][0], Adam)


def test_a_template_may_be_shapes_only(run_path):
    state = {"a": np.ones((2, 3)), "b": (np.int32(3),)}
    save(run_path, 0, state)
    template = {"a": jax.ShapeDtypeStruct((2, 3), np.float64), "b": (jax.ShapeDtypeStruct((), np.int32),)}
    assert_same(load(run_path, 0, template), state)


def test_the_newest_are_kept(run_path):
    assert latest(run_path, make_state()) is None
    for step in (0, 9, 10, 100):
        save(run_path, step, {"a": np.ones(2)})
    assert steps(run_path) == [10, 100]
    assert sorted(path.name for path in (run_path / "checkpoints").iterdir()) == ["10", "100"]


def test_saving_a_step_again_replaces_it_and_drops_later_ones(two):
    save(two, 10, make_state(5))
    assert steps(two) == [10]
    assert_same(latest(two, make_state()).state, make_state(5))


@pytest.mark.parametrize("damage", ["flip", "lose a file", "lose the manifest", "tear the manifest", "empty"])
def test_a_damaged_newest_falls_back_with_a_warning(two, damage):
    folder = two / "checkpoints/20"
    match damage:
        case "flip":
            flip(state_file(two, 20))
        case "lose a file":
            state_file(two, 20).unlink()
        case "lose the manifest":
            (folder / "manifest.json").unlink()
        case "tear the manifest":
            os.truncate(folder / "manifest.json", 100)
        case "empty":
            shutil.rmtree(folder)
            folder.mkdir()
    restored = latest(two, make_state())
    assert restored.step == 10
    assert_same(restored.state, make_state(10))
    (warning,) = restored.warnings
    assert "20" in warning
    assert "damaged" in warning
    assert warning.endswith("Resuming from step 10 instead.")


def test_all_damaged_is_an_error(two):
    for step in (10, 20):
        flip(state_file(two, step))
    with pytest.raises(
        Corrupt,
        match=r"No checkpoint of run_1 can be used: start a new run\. Checkpoint 20 .* Checkpoint 10 of",
    ):
        latest(two, make_state())


@pytest.mark.parametrize(
    "change",
    [
        {"psi": np.zeros((10, 4, 4, 2), np.float32)},
        {"psi": np.zeros((10, 4, 4, 1))},
        {"more": np.zeros(1)},
        {"pool": []},
    ],
    ids=["shape", "dtype", "missing", "added"],
)
def test_what_does_not_fit_the_template_is_refused(run_path, change):
    save(run_path, 1, make_state())
    message = f"Checkpoint 1 of run_1 was written by another version of rcig.*{next(iter(change))}"
    with pytest.raises(Corrupt, match=message):
        latest(run_path, {**make_state(), **change})


def test_a_newer_format_is_refused(two):
    for step in (10, 20):
        manifest = two / f"checkpoints/{step}/manifest.json"
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(Corrupt, match=r"newer rcig \(format 2\)"):
        latest(two, make_state())


def test_temporary_files_of_crashed_processes_are_removed_at_the_next_save(two):
    leftovers = [two / "checkpoints/.tmp-0123", two / ".tmp-4567"]
    for leftover in leftovers:
        leftover.mkdir()
    save(two, 30, make_state())
    assert not any(leftover.exists() for leftover in leftovers)
