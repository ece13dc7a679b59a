"""Runs of parametrized sets: what they store, and that a stopped one is resumed to the same bytes."""

import shutil

import numpy as np
import pytest

import rcig_cli as rcig
from rcig_cli.distillation.parametrizations import StoredBytes
from rcig_cli.errors import ConfigError
from rcig_cli.runs.distill.distill import distill
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.distill.snapshots import read_course
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.store.store import open_store
from tests.silent import Silent

SETTINGS = {
    **{"dataset": "digits", "ipc": 1, "steps": 6, "width": 4, "batch": 64, "pool_size": 3},
    **{"pool_steps": 3, "inner_steps": 2, "hessian_steps": 2},
}
# Their settings, and the stored arrays: of 10 classes, with 8x8 grey images.
CASES = {
    "multiformation": ({"factor": 2}, {"grids": (10, 8, 8, 1)}, 40),
    # Gradients through some of the images.
    "basis": (
        {"mixtures": 2, "backward_subset": 8},
        {"bases": (16, 4, 4, 1), "mixing": (20, 16)},
        20,
    ),
}


class Crash(BaseException):
    """Ends a run without giving it the chance to save anything."""


def run(store, *, resume=None, crash_at=None, **settings):
    def on_step(step, _):
        if step == crash_at:
            raise Crash

    context = RunContext(Silent(), checkpoint_every=2, on_step=on_step)
    return distill(open_store(store, create=False), {**SETTINGS, **settings}, context, resume=resume)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    store = tmp_path_factory.mktemp("digits") / "a"
    prepare(open_store(store, create=True), "digits", report=Silent())
    return store


def results(store):
    folder = store / "runs" / "run_1"
    found = [*folder.glob("distilled.zarr/**/*"), folder / "snapshots.npz", folder / "metrics.jsonl"]
    return {path.relative_to(folder): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.parametrize("name", ["multiformation", pytest.param("basis", marks=pytest.mark.slow)])
def test_a_stopped_run_is_resumed_to_the_same_bytes(name, digits, tmp_path):
    given, shapes, count = CASES[name]
    settings = {"parametrization": name, **given}
    stopped = shutil.copytree(digits, tmp_path / "stopped")
    whole = shutil.copytree(digits, tmp_path / "whole")
    with pytest.raises(Crash):
        run(stopped, crash_at=5, **settings)
    run(stopped, resume="newest", **settings)
    manifest = run(whole, **settings)
    assert results(stopped) == results(whole)

    distilled = open_distilled(open_store(whole, create=False), "run_1")
    assert {array: numbers.shape for array, numbers in distilled.stored.items()} == shapes
    decoder = distilled.config.decoder((8, 8, 1), 10)
    np.testing.assert_array_equal(distilled.images, decoder.decode(distilled.stored))
    assert (distilled.images.shape, distilled.labels.shape) == ((count, 8, 8, 1), (count, 10))
    assert distilled.classes.tolist() == sorted([*range(10)] * (count // 10))
    numbers = sum(int(np.prod(shape)) for shape in shapes.values())
    stored_bytes = distilled.size.stored_bytes
    assert stored_bytes == StoredBytes(4 * numbers, 4 * 10 * count)
    assert stored_bytes.images <= 4 * 10 * 64  # of the raw images
    assert manifest.size == distilled.size.to_json()
    shown = rcig.load("run_1", store=whole)
    assert (shown.images == distilled.images).all()
    assert {array: numbers.shape for array, numbers in shown.stored.items()} == shapes
    course = read_course(distilled.path)  # of decoded images
    assert course.images.shape[1:] == (count, 8, 8, 1)
    np.testing.assert_allclose(course.images[-1], distilled.images, atol=2e-2)


def test_a_run_is_not_resumed_with_another_parametrization(digits, tmp_path):
    store = shutil.copytree(digits, tmp_path / "a")
    with pytest.raises(Crash):
        run(store, crash_at=1)
    with pytest.raises(ConfigError, match=r"another configuration \(parametrization: basis, not raw"):
        run(store, resume="run_1", parametrization="basis")


def test_settings_of_another_parametrization_are_refused(digits):
    message = "factor is not a setting of the parametrization basis, but of multiformation"
    with pytest.raises(ConfigError, match=message):
        run(digits, parametrization="basis", factor=2)
    with pytest.raises(ConfigError, match="of the parametrization raw, but of basis"):
        run(digits, mixing_lr=0.1)
    with pytest.raises(ConfigError, match=r"--factor 3 does not divide images of 8x8; use 2, 4, 8"):
        run(digits, parametrization="multiformation", factor=3)
