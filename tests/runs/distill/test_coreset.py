"""Runs that pick real images."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from rcig_cli.distillation import methods
from rcig_cli.distillation.methods import METHODS
from rcig_cli.errors import ConfigError
from rcig_cli.runs.distill import coreset
from rcig_cli.runs.distill.distill import distill
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.run_loop import RunContext, RunInterrupted
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.store.store import open_store
from tests.silent import Silent

SETTINGS = {"dataset": "digits", "ipc": 3, "width": 4, "batch": 64, "feature_steps": 3}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    store = tmp_path_factory.mktemp("digits") / "a"
    prepare(open_store(store, create=True), "digits", report=Silent())
    return store


def run(store, algorithm, *, report=None, resume=None, **settings):
    if algorithm == "random":
        settings = {**settings, "feature_steps": None}
    given = {**SETTINGS, "algorithm": algorithm, **settings}
    given = {name: value for name, value in given.items() if value is not None}
    done = distill(open_store(store, create=False), given, RunContext(report or Silent()), resume=resume)
    return open_distilled(open_store(store, create=False), done.name)


@pytest.mark.parametrize("algorithm", ["random", "herding", "k-center", "k-means"])
def test_it_stores_different_real_images_of_each_class(digits, algorithm):
    picked = run(digits, algorithm)
    images, classes = picked.prepared.images("train"), picked.prepared.labels("train")
    assert picked.classes.tolist() == np.repeat(np.arange(10), 3).tolist()
    found = [np.flatnonzero((images == image).all((1, 2, 3))) for image in picked.images]
    assert all(len(each) == 1 for each in found)
    indices = np.concatenate(found)
    assert len(set(indices.tolist())) == 30
    assert classes[indices].tolist() == picked.classes.tolist() == picked.labels.argmax(1).tolist()
    np.testing.assert_allclose(np.sort(picked.labels, 1)[:, [0, -1]], [[-0.1, 0.9]] * 30, atol=1e-6)
    again, other = run(digits, algorithm), run(digits, algorithm, seed=1)
    np.testing.assert_array_equal(again.images, picked.images)
    assert not np.array_equal(other.images, picked.images)
    assert (picked.run.status, picked.run.step, picked.config.steps) == ("finished", 0, 0)


@pytest.mark.parametrize(
    "answer", [[0, 1], [0, 1, 2, 3], [], [0, 1, 1], [0, 1, -1], [0, 1, 200], [0.0, 1.0, 2.0], [[0, 1, 2]]]
)
def test_an_answer_that_is_not_so_many_rows_is_refused(digits, monkeypatch, answer):
    own = replace(METHODS["random"], pick=lambda *_: answer)
    monkeypatch.setattr(methods, "METHODS", {**METHODS, "random": own})
    with pytest.raises(ConfigError, match=r"pick of random returned .*expected 3 different whole numbers"):
        run(digits, "random")


def test_of_a_class_with_too_few_images_all_are_repeated(digits):
    picked = run(digits, "random", ipc=(1, 200, *[1] * 8))
    own = picked.images[picked.classes == 1]
    available = int((picked.prepared.labels("train") == 1).sum())
    assert len(np.unique(own, axis=0)) == available < 200 == len(own)


def test_a_parametrized_set_stores_the_picked_images_at_a_fraction_of_the_size(digits):
    picked = run(digits, "random", ipc=1, parametrization="multiformation", factor=2)
    assert picked.images.shape == (40, 8, 8, 1)
    assert picked.stored["grids"].shape == (10, 8, 8, 1)


def test_a_stopped_run_starts_again_when_it_is_resumed(digits):
    class Stopping(Silent):
        def progress(self, _label, done, *_):
            if done == 2:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(RunInterrupted, match="Stopped before the images were picked") as stopped:
        run(digits, "herding", report=Stopping(), seed=5)
    resumed = run(digits, "herding", resume=stopped.value.run, seed=5)
    assert resumed.run.name == stopped.value.run
    np.testing.assert_array_equal(resumed.images, run(digits, "herding", seed=5).images)


def test_outer_steps_and_minutes_are_refused(digits):
    with pytest.raises(ConfigError, match="random picks real images and takes no outer steps"):
        run(digits, "random", steps=5)
    with pytest.raises(ConfigError, match="steps must be at least 1"):
        run(digits, "rcig", steps=0, feature_steps=None)
    with pytest.raises(ConfigError, match="herding takes no outer steps, so minutes can't be given"):
        distill(
            open_store(digits, create=False),
            {**SETTINGS, "algorithm": "herding"},
            RunContext(Silent()),
            minutes=1,
        )


def test_features_are_those_of_the_trained_network(digits, monkeypatch):
    seen = []

    def everything(prepared, _, rows):
        seen.append(rows(np.arange(len(prepared.labels("train")))))
        return np.arange(30)

    monkeypatch.setattr(coreset, "_chosen", everything)
    run(digits, "herding", feature_steps=0)
    classes = run(digits, "herding", feature_steps=40).prepared.labels("train")
    first, trained = (RidgeClassifier().fit(rows, classes).score(rows, classes) for rows in seen)
    assert first < trained
