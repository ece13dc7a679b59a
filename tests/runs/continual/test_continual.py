"""Continual learning: labels of several tasks, a sequence that is stopped and resumed, what is kept."""

import signal
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

import rcig_cli as rcig
from rcig_cli.distillation.records import centred_one_hot
from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.runs.continual import continual as job
from rcig_cli.runs.continual.continual import continual, embed_labels, join_sets, plan_tasks
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.documents import read_document
from rcig_cli.store.records import write_manifest
from rcig_cli.store.store import TABLE, open_store
from tests.silent import Silent

SETTINGS = {"ipc": 2, "algorithm": "random", "width": 4, "networks": 2, "evaluate_steps": 6}


def test_labels_are_embedded_in_those_of_all_classes():
    labels = jnp.array(
        [[0.3, -0.3], [-0.5, 0.5]]
    )  # of a task with two classes; with 1/2 added 0.8, 0.2; 0, 1
    expected = [[-0.2, -0.2, 0.6, 0.0, -0.2], [-0.2, -0.2, -0.2, 0.8, -0.2]]
    np.testing.assert_allclose(embed_labels(labels, 2, 5), expected, atol=1e-7)
    one_hot = centred_one_hot(jnp.array([1, 0, 2]), 3)
    expected = centred_one_hot(jnp.array([3, 2, 4]), 6)
    np.testing.assert_allclose(embed_labels(one_hot, 2, 6), expected, atol=1e-7)


def make_store(folder):
    store = open_store(folder, create=True)
    prepare(store, "digits", report=Silent())
    return store


def run(store, report=None, *, tasks=2, **settings):
    prepared = open_prepared(store, "digits")
    context = RunContext(report or Silent())
    return continual(store, prepared, {**SETTINGS, **settings}, context, tasks=tasks, full_epochs=1)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    store = make_store(tmp_path_factory.mktemp("continual") / "a")
    return store, run(store)


class Stopping(Silent):
    """Sends a signal when a part of the work is reported for the first time."""

    def __init__(self, part):
        self.part = part

    def progress(self, label, _done, _total, _values=None):
        if self.part and self.part in label:
            self.part = ""
            signal.raise_signal(signal.SIGINT)


def test_stopped_and_resumed_it_gives_the_same_bytes(uninterrupted, tmp_path):
    store = make_store(tmp_path / "a")
    for part in ("the sets of 1 task", "random images of 5", "all real images", "the sets of 2 tasks"):
        with pytest.raises((Interrupted, KeyboardInterrupt)):
            run(store, Stopping(part))
        assert store.group("sequence", "sequence_1").status == "interrupted"
    resumed = run(store)
    assert resumed.to_json() == uninterrupted[1].to_json()
    for name in (stage.run for stage in resumed.stages):
        ours, theirs = (open_distilled(each, name) for each in (store, uninterrupted[0]))
        assert ours.images.tobytes() == theirs.images.tobytes()
        assert store.run(name).parents["sequence"] == store.group("sequence", "sequence_1").as_parent


def test_the_result(uninterrupted):
    store, result = uninterrupted
    first, second = result.stages
    assert (first.classes, second.classes) == (("2", "8", "4", "9", "1"), ("6", "7", "3", "0", "5"))
    assert (first.seen, second.seen, first.images, second.images) == (5, 10, 10, 20)
    for stage in result.stages:
        for spread in (stage.accuracy, stage.random_subset, stage.full_data):
            assert len(spread.values) == 2
            assert 0 <= spread.mean <= 1
    manifest = store.group("sequence", "sequence_1")
    assert (manifest.status, manifest.runs) == ("finished", ("run_1", "run_2"))
    assert read_document(store.group_path("sequence", "sequence_1") / TABLE) == result.to_json()
    assert result.figure.read_bytes().startswith(b"\x89PNG")
    assert repr(result).splitlines()[1].split()[:2] == ["task", "classes"]
    assert manifest.config["protocol"] == result.protocol
    assert (result.protocol["steps"], result.protocol["seed"]) == (6, 0)


def test_the_sets_of_all_tasks_are_joined_with_the_labels_of_the_classes_seen(uninterrupted):
    store, _ = uninterrupted
    sets = [open_distilled(store, name) for name in ("run_1", "run_2")]
    seen = open_prepared(store, "digits").of_classes("2,8,4,9,1,6,7,3,0,5")
    (_, task), protocol = plan_tasks(open_prepared(store, "digits"), SETTINGS, 2)
    assert task.seen.class_names == seen.class_names
    joined = join_sets(sets, protocol, 10)
    assert joined.images.shape == (20, 8, 8, 1)
    np.testing.assert_array_equal(joined.images[10:], sets[1].images)
    assert joined.labels.argmax(1).tolist() == np.repeat(range(10), 2).tolist()
    np.testing.assert_allclose(joined.labels, centred_one_hot(np.repeat(range(10), 2), 10), atol=1e-6)


def test_what_is_finished_is_not_computed_again(uninterrupted, monkeypatch):
    store, result = uninterrupted

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(job.distill, "execute", refuse)
    monkeypatch.setattr("rcig_cli.runs.evaluate.full_data._trained", refuse)
    monkeypatch.setattr(job, "make_measurement", lambda *_: refuse)
    assert run(store).to_json() == result.to_json()
    monkeypatch.undo()
    other = run(store, networks=1)  # other accuracies of the same runs
    assert (other.name, [stage.run for stage in other.stages]) == ("sequence_2", ["run_1", "run_2"])
    assert store.group("sequence", "sequence_2").status == "finished"


def test_mistakes_are_reported_before_anything_is_made(uninterrupted):
    store, _ = uninterrupted
    before = len(store.runs().found)
    for settings, said in (
        ({"tasks": 3}, "can't be divided into 3 equal tasks"),
        ({"ipc": 500}, "500 is too many"),
        ({"evaluate_depth": 9}, "too small for a ConvNet of depth 9"),
    ):
        with pytest.raises(ConfigError, match=said):
            run(store, **settings)
    assert len(store.runs().found) == before


def test_a_run_that_diverged_ends_the_sequence(tmp_path, monkeypatch):
    def diverge(path, manifest, *_):
        write_manifest(path, replace(manifest, status="failed"))
        raise NumericsError("run_1 diverged at step 1.")

    monkeypatch.setattr(job.distill, "execute", diverge)
    store = make_store(tmp_path / "a")
    for said in ("run_1 diverged at step 1", "run_1, the run of task 1, diverged. Start again"):
        with pytest.raises(NumericsError, match=said):
            run(store)
        assert store.group("sequence", "sequence_1").status == "failed"


def test_the_python_api(uninterrupted):
    store, result = uninterrupted
    given = {**SETTINGS, "tasks": 2, "full_epochs": 1, "store": store.root}
    with pytest.warns(UserWarning, match="on all real images for 1 epoch, fewer than the usual 20"):
        assert rcig.continual("digits", **given).to_json() == result.to_json()
    with pytest.raises(
        rcig.ConfigError, match="There is no setting 'evaluate_stebs'; did you mean evaluate_steps"
    ):
        rcig.continual("digits", **given, evaluate_stebs=3)


def test_digits_are_prepared_if_needed(tmp_path):
    with pytest.raises(rcig.ConfigError, match="divided"):
        rcig.continual("digits", ipc=1, tasks=3, store=tmp_path / "new")
    assert [dataset.name for dataset in rcig.list_datasets(store=tmp_path / "new")] == ["digits"]
