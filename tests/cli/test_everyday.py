"""Naming, finding, following and continuing runs, as a user does."""

import os
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from rcig_cli.cli.console import Console
from rcig_cli.presets.config import DistillConfig
from rcig_cli.reporting.commands import distill_commands
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.evaluate.protocol import evaluation_protocol
from rcig_cli.runs.evaluate.scores import Scores
from rcig_cli.settings import values_of
from rcig_cli.store.locks import RunLock
from rcig_cli.store.progress import Progress, write_progress
from rcig_cli.store.records import write_manifest
from rcig_cli.store.results import write_result
from rcig_cli.store.store import open_store
from tests.conftest import TINY
from tests.example_store import EVALUATION, KILLED


@pytest.fixture
def store(example, tmp_path):
    return shutil.copytree(example, tmp_path / "artifacts")


def evaluated(store, run, mean, **changes):
    """Add an evaluation by the run's own protocol, with some changes."""
    config = DistillConfig.from_json(open_store(store, create=False).run(run).config)
    measured = {"mean": mean, "std": 0.0, "values": [mean]}
    protocol = {**values_of(evaluation_protocol(config, 2)), "networks": 1, **changes}
    evaluation = {**EVALUATION, "accuracy": measured, "protocol": protocol}
    write_result(store / "runs" / run, "evaluations", "convnet", evaluation)


def tagged(store, run, *tags):
    manifest = open_store(store, create=False).run(run)
    write_manifest(store / "runs" / run, replace(manifest, tags=tags))


def commands(store, run):
    """The commands that distil a run again."""
    found = open_distilled(open_store(store, create=False), run)
    return distill_commands(found.prepared, found.run, found.config)


def test_runs_are_listed_with_the_newest_accuracy_by_their_own_protocol(rcig, store):
    evaluated(store, "run_2", 0.75)
    evaluated(store, "run_2", 0.9, augment=True)
    evaluated(store, "imported", 0.8, protocol="dc-bench")
    listed = rcig("list", "--sort", "accuracy", "--store", store)
    rows = {line.split()[0]: line for line in listed.out.splitlines()}
    assert "75.0 %" in rows["run_2"]
    assert "80.0 % *" in rows["imported"]
    assert "50.0 % *" in rows["run_1"]
    names = [
        run["run"] for run in rcig("list", "--sort", "accuracy", "--store", store, "--json").json["runs"]
    ]
    assert names[:3] == ["imported", "run_2", "run_1"]
    assert set(names[5:]) == {"run_3", KILLED, "run_5"}  # which have no accuracy


def test_runs_are_listed_by_data_set_and_by_tag(rcig, store):
    assert rcig("list", "--dataset", "shapes", "--store", store, "--json").json["runs"]
    unknown = rcig("list", "--dataset", "shaped", "--store", store)
    assert (unknown.code, "did you mean 'shapes'" in unknown.err) == (3, True)
    tagged(store, "run_2", "best", "paper")
    listed = rcig("list", "--tag", "paper", "--store", store, "--json").json
    assert [run["run"] for run in listed["runs"]] == ["run_2"]
    assert listed["runs"][0]["tags"] == ["best", "paper"]
    assert "No run has the tag other." in rcig("list", "--tag", "other", "--store", store).err
    assert "--sort must be name, accuracy or updated" in rcig("list", "--sort", "size", "--store", store).err
    shutil.rmtree(store / "datasets" / "shapes")  # as `rcig rm shapes --force` does
    assert rcig("list", "--dataset", "shapes", "--store", store, "--json").json["runs"]


def test_what_is_known_of_a_run_whose_data_set_was_replaced_or_removed(rcig, store):
    evaluated(store, "run_2", 0.75)

    def listed():
        return next(
            line for line in rcig("list", "--store", store).out.splitlines() if line.startswith("run_2")
        )

    dataset = open_store(store, create=False).dataset("shapes")
    height, width, channels = dataset.shape
    other = replace(dataset, shape=(2 * height, 2 * width, channels), files={"arrays.zarr/x": "0" * 64})
    write_manifest(store / "datasets" / "shapes", other)
    replaced = listed()
    shutil.rmtree(store / "datasets" / "shapes")
    for line in (replaced, listed()):
        assert "75.0 % " in line
        assert "75.0 % *" not in line
        assert "512 bytes" in line


def test_scores_are_shown_with_the_run_and_in_its_report(rcig, store, tmp_path):
    found = Scores(0.9, 0.5, 0.6, 0.3, 0.3, 0.4).to_json()
    record = {**EVALUATION, "scores": found, "full_data": {"mean": 0.9, "std": 0.0, "values": [0.9]}}
    write_result(store / "runs" / "run_1", "evaluations", "convnet", record)
    shown = rcig("show", "run_1", "--store", store).out
    assert "DD-Ranking's scores" in shown
    assert " 0.400  0.300  0.248  0.447" in shown
    assert rcig("report", "run_1", "--out", tmp_path / "r.html", "--store", store).code == 0
    page = (tmp_path / "r.html").read_text()
    assert "<td>0.400</td><td>0.300</td><td>0.248</td><td>0.447</td>" in page
    assert "<td>90.0 %</td>" in page


def test_a_run_in_progress_tells_its_step_and_its_time_left(rcig, store):
    path = store / "runs" / KILLED
    values = {"loss": 0.5, "batch accuracy": 0.8123, "bad": float("nan")}
    write_progress(path, Progress("distilling", 312, 3243, values, 250.0))
    assert f"{KILLED}" in rcig("list", "--store", store).out
    assert "interrupted at 2/8" in rcig("list", "--store", store).out
    with RunLock(path):
        running = "running: step 312 of 3243, batch accuracy 81.2 %, about 4 min left"
        assert running in rcig("list", "--store", store).out
        shown = rcig("show", KILLED, "--store", store)
        assert shown.out.startswith(f"{KILLED}: 1 image per class of shapes, {running}\n")
        document = rcig("show", KILLED, "--store", store, "--json").json
        assert document["progress"]["values"] == {"loss": 0.5, "batch accuracy": 0.8123}
        assert document["step"] == 312
        refused = rcig("visualize", KILLED, "--store", store)
        assert refused.code == 3
        assert f"{KILLED} is still running (distilling, 312 of 3243)" in refused.err
        assert f"rcig watch {KILLED}" in refused.err
    assert rcig("verify", KILLED, "--store", store, "--json").json["orphans"] == []


def test_a_run_that_has_not_taken_a_step_yet_is_running(rcig, store):
    with RunLock(store / "runs" / KILLED):
        assert "running: starting" in rcig("list", "--store", store).out
        refused = rcig("evaluate", KILLED, "--store", store)
        assert (refused.code, f"{KILLED} is still running. To wait" in refused.err) == (3, True)
        compared = rcig("compare", "run_1", KILLED, "--store", store, "--json").json
        assert [run["status"] for run in compared["runs"]] == ["finished", "running"]
    compared = rcig("compare", "run_1", KILLED, "--store", store, "--json").json
    assert [run["status"] for run in compared["runs"]] == ["finished", "interrupted"]


def test_watching_ends_with_the_run(rcig, store):
    finished = rcig("watch", "run_1", "--store", store)
    assert (finished.code, finished.out) == (0, "run_1: 1 image per class of shapes, 8 steps, finished\n")
    stopped = rcig("watch", KILLED, "--store", store)
    assert stopped.code == 1
    assert f"{KILLED} is interrupted at 2/8. To resume: rcig distill --resume {KILLED}" in stopped.err
    diverged = rcig("watch", "run_5", "--store", store)
    assert (diverged.code, "run_5 diverged: rcig show run_5" in diverged.err) == (1, True)


def test_a_run_is_watched_while_it_runs(rcig, store, monkeypatch):
    manifest = open_store(store, create=False).run(KILLED)
    path, shown = store / "runs" / KILLED, []
    write_progress(path, Progress("distilling", 4, 8, {"loss": 0.5}))
    monkeypatch.setattr(Console, "progress", lambda _, *values: shown.append(values))
    with RunLock(path) as lock:

        def finish(seconds):
            write_manifest(path, replace(manifest, status="finished", step=8))
            lock.release()

        monkeypatch.setattr(time, "sleep", finish)
        assert rcig("watch", KILLED, "--store", store).out.endswith("8 steps, finished\n")
    assert shown == [(f"{KILLED}: distilling", 4, 8, {"loss": 0.5})]


def test_the_newest_run_may_be_named_newest(rcig, store):
    assert rcig("show", "newest", "--store", store, "--json").json["name"] == "run_7"
    assert rcig("visualize", "newest", "--store", store, "--json").json["run"] == "run_7"
    assert rcig("rm", "newest", "--yes", "--store", store).code == 0
    assert rcig("show", "newest", "--store", store, "--json").json["name"] == "run_6"
    refused = rcig("prepare", "newest", "--from", "digits", "--store", store)
    assert (refused.code, "'newest' is not a valid name of a data set" in refused.err) == (2, True)
    same = rcig("compare", "newest", "run_6", "--store", store)
    assert (same.code, "compare needs two or more runs" in same.err) == (2, True)


def test_the_store_is_found_from_folders_below_the_one_it_lies_in(rcig, store, monkeypatch):
    monkeypatch.delenv("RCIG_STORE", raising=False)
    (store.parent / "sub" / "folder").mkdir(parents=True)
    monkeypatch.chdir(store.parent / "sub" / "folder")
    assert rcig("show", "run_1", "--json").json["name"] == "run_1"
    assert rcig("watch", KILLED).err.endswith(f"rcig distill --resume {KILLED}\n")  # without --store
    os.mkdir("artifacts")  # an own one comes first
    assert "There is no store" in rcig("show", "run_1").err


def test_names_and_tags_are_checked(rcig, store):
    def refusal(*options):
        outcome = rcig("distill", "shapes", "--ipc", 1, *options, "--store", store)
        assert outcome.code == 2
        return outcome.err

    assert "There is a run run_1 already" not in refusal("--name", "run_1")
    assert "'run_1' is reserved" in refusal("--name", "run_1")
    assert "'newest' is reserved" in refusal("--name", "newest")
    assert "There is a run imported already" in refusal("--name", "imported")
    assert "is the name of a data set" in refusal("--name", "shapes")
    assert "is not a valid tag" in refusal("--tag", "two words")
    assert "--name is for a new run" in refusal("--resume", "run_3", "--name", "other")


def test_numbers_of_removed_runs_are_not_given_again(rcig, store):
    assert rcig("rm", "run_7", "--yes", "--store", store).code == 0
    opened = open_store(store, create=False)
    run, lock = opened.create("run", lambda name: replace(opened.run("run_1"), name=name))
    lock.release()
    assert run.name == "run_8"
    assert rcig("verify", "run_1", "--store", store).code == 0  # store.json, too


def test_a_finished_run_is_not_started_again_and_is_continued_to_the_same_bytes(rcig, tmp_path):
    line = (
        "distill",
        "digits",
        "--ipc",
        1,
        *TINY,
        "--image-lr",
        0.02,
        "--label-lr",
        0.02,
        "--store",
        tmp_path,
    )
    assert rcig(*line, "--steps", 4, "--name", "short", "--tag", "a", "--json").json["run"] == "short"
    again = rcig(*line, "--steps", 4, "--resume", "--tag", "b")
    assert (again.code, "short is already finished" in again.err) == (0, True)
    assert rcig("list", "--store", tmp_path, "--json").json["runs"][0]["tags"] == ["a", "b"]
    assert rcig(*line, "--steps", 4, "--resume", "--name", "other", "--json").json["run"] == "other"
    more = ("distill", "--resume", "short", "--steps", 7, "--store", tmp_path)
    continued = rcig(*more)
    assert "run_1 continues short from step 4" in continued.err
    assert "run_1 is already finished" in rcig(*more).err
    assert rcig(*more, "--name", "long", "--json").json["run"] == "long"
    first, then = commands(tmp_path, "long")
    assert first == commands(tmp_path, "short")[0]
    assert then == "rcig distill --resume short --steps 7 --name long"
    assert commands(tmp_path, "short")[0].endswith(" --name short")
    assert rcig("distill", "--resume", "short", "--steps", 3, "--store", tmp_path).code == 2
    assert rcig(*line, "--steps", 7, "--json").json["run"] == "run_2"

    def contents(run):
        files = ("metrics.jsonl", "distilled.zarr/images/c/0/0/0/0", "distilled.zarr/labels/c/0/0")
        return [(tmp_path / "runs" / run / file).read_bytes() for file in files]

    assert contents("run_1") == contents("run_2")
    assert contents("short")[0] == contents("run_2")[0][: len(contents("short")[0])]
    shown = rcig("show", "run_1", "--store", tmp_path)
    assert "short, from step 4" in " ".join(shown.out.split())
    assert rcig("verify", "--store", tmp_path, "--json").json["ok"]
    rcig("gc", "--yes", "--store", tmp_path)
    assert rcig("gc", "--checkpoints", "--yes", "--store", tmp_path, "--json").json["removed"]
    refused = rcig("distill", "--resume", "short", "--steps", 9, "--store", tmp_path)
    assert (refused.code, "short has no checkpoint to continue from" in refused.err) == (3, True)


def test_the_whitening_is_left_out_of_an_export_on_request(rcig, store, tmp_path):
    for name, flags in (("with", ()), ("without", ("--no-whitening",))):
        assert rcig("export", "run_1", "--out", tmp_path / f"{name}.npz", *flags, "--store", store).code == 0
    found = {name: set(np.load(tmp_path / f"{name}.npz")) for name in ("with", "without")}
    assert found["with"] - found["without"] == {"whitening_mean", "whitening_std"}


def test_a_data_set_of_some_classes_is_prepared(rcig, tmp_path):
    line = ("prepare", "digits", "--classes", "7,1", "--store", tmp_path, "--json")
    made = rcig(*line).json
    assert made["class_names"] == ["7", "1"]
    assert 200 < made["train"] < 400
    assert rcig(*line).code == 0
    assert (
        "there is no class 'x'"
        in rcig("prepare", "digits", "--classes", "x,1", "--store", tmp_path / "b").err
    )
