"""Experts: trained once, kept with the data set, and used by every run that trains them alike."""

import signal

import jax
import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import network_for, resolved
from rcig_cli.runs.distill import experts
from rcig_cli.runs.distill.distill import distill
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.run_loop import RunContext, RunInterrupted
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.arrays import read_npz
from rcig_cli.store.store import open_store
from tests.silent import Silent

SETTINGS = {
    **{"dataset": "digits", "ipc": 1, "steps": 3, "width": 4, "batch": 400, "algorithm": "mtt"},
    **{"experts": 2, "expert_epochs": 5, "last_start": 1, "expert_span": 3, "student_steps": 2},
    **{"augment_student": False, "expert_augment": False, "image_lr": 1.0},
}


class Counting(Silent):
    """Remembers the stages whose progress was reported; stops the run in one of them."""

    def __init__(self, stop_in=None):
        self.stages, self.stop_in = [], stop_in

    def progress(self, label, done, *_):
        if label not in self.stages:
            self.stages.append(label)
        if label == self.stop_in and done == 2:
            signal.raise_signal(signal.SIGTERM)


@pytest.fixture
def digits(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    prepare(store, "digits", report=Silent())
    return store


def run(store, *, report=None, resume=None, **settings):
    return distill(store, {**SETTINGS, **settings}, RunContext(report or Silent()), resume=resume)


def files(store):
    """The files of the last epoch, of all experts."""
    return sorted(store.dataset_path("digits").glob("experts/*/*/5.npz"))


def parameters(folder):
    """The parameters of an expert after each epoch."""
    count = len([*folder.glob("*.npz")])
    return np.stack([read_npz(folder / f"{epoch}.npz")["parameters"] for epoch in range(count)])


@pytest.mark.slow
def test_runs_share_experts_and_a_stopped_one_goes_on_with_the_next(digits):
    stopping = Counting(stop_in="training expert 2 of 2")
    with pytest.raises(RunInterrupted, match="Stopped before the first step"):
        run(digits, report=stopping)
    assert [path.parent.name for path in files(digits)] == ["0"]
    assert digits.run("run_1").status == "interrupted"
    first = files(digits)[0].read_bytes()
    going_on = Counting()
    run(digits, report=going_on, resume="run_1")
    assert going_on.stages == ["training expert 2 of 2", "distilling"]
    assert files(digits)[0].read_bytes() == first
    again = Counting()
    run(digits, report=again, image_lr=2.0)
    assert again.stages == ["distilling"]
    other = Counting()
    run(digits, report=other, expert_lr=0.02)
    assert other.stages == ["training expert 1 of 2", "training expert 2 of 2", "distilling"]
    assert len(files(digits)) == 4
    for name in ("run_1", "run_2"):
        assert np.abs(open_distilled(digits, name).images).max() < 100


def test_an_outer_step_gets_an_expert_after_two_epochs_that_lie_apart_as_set(digits):
    prepared = open_prepared(digits, "digits")
    config = resolved(prepared, SETTINGS)
    assert isinstance(config, DistillConfig)
    real = RealData(prepared.images("train"), prepared.labels("train"))
    pairs, classes = experts.expert_pairs(prepared, config, real, Silent(), lambda: None)
    paths = [parameters(path.parent) for path in files(digits)]
    assert pairs.shape == (4, 2, paths[0].shape[1])
    assert len(classes) == 4
    for number, pair in enumerate(pairs[np.arange(4)]):
        path, at = paths[number // 2], number % 2
        np.testing.assert_array_equal(pair, path[[at, at + 3]])
    network = network_for(config, prepared.shape, prepared.classes)
    theta = network.init(jax.random.key(0))
    assert paths[0].shape == (6, sum(leaf.size for leaf in jax.tree.leaves(theta)))
    assert not np.array_equal(paths[0][0], paths[1][0])


def test_experts_see_changed_images_if_they_are_augmented(digits, monkeypatch):
    """The change, here to images of zeros, is applied in each step, so that only the head's biases learn."""
    keys = []

    def blank(key, images):
        keys.append(key)
        return 0 * images

    monkeypatch.setattr(experts, "augment_each", blank)
    prepared = open_prepared(digits, "digits")
    real = RealData(prepared.images("train"), prepared.labels("train"))
    moved = {}
    for augment in (False, True):
        config = resolved(prepared, {**SETTINGS, "experts": 1, "expert_augment": augment})
        experts.expert_pairs(prepared, config, real, Silent(), lambda: None)
        assert bool(keys) == augment
        folders = {path.parent for path in files(digits)} - set(moved)
        (folder,) = folders
        first, *_, last = parameters(folder)
        moved[folder] = (first != last).mean()
    without, with_change = moved.values()
    assert without > 0.9
    assert with_change < 0.1


def test_experts_learn_to_classify_the_real_images(digits):
    settings = {**SETTINGS, "experts": 1, "expert_lr": 0.2, "expert_epochs": 25, "batch": 100}
    prepared = open_prepared(digits, "digits")
    config = resolved(prepared, settings)
    images, classes = prepared.images("train"), prepared.labels("train")
    experts.expert_pairs(prepared, config, RealData(images, classes), Silent(), lambda: None)
    network = network_for(config, prepared.shape, prepared.classes)
    unravel = jax.flatten_util.ravel_pytree(network.init(jax.random.key(0)))[1]
    predict = jax.jit(lambda theta: network.apply(unravel(theta), images)[0].argmax(1))
    (folder,) = digits.dataset_path("digits").glob("experts/*/0")
    first, *_, last = parameters(folder)
    assert (np.asarray(predict(first)) == classes).mean() < 0.4
    assert (np.asarray(predict(last)) == classes).mean() > 0.9


def test_settings_that_no_expert_can_have_are_refused(digits):
    with pytest.raises(
        ConfigError, match="last_start 4 and expert_span 3 add up to more than expert_epochs 5"
    ):
        run(digits, last_start=4)
    with pytest.raises(ConfigError, match="mtt trains experts before its steps"):
        distill(
            digits,
            {name: value for name, value in SETTINGS.items() if name != "steps"},
            RunContext(Silent()),
            minutes=1,
        )
