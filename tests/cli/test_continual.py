"""``rcig continual``, what other commands say of its result, and runs of some of the classes."""

import numpy as np
import pytest
from PIL import Image

from tests.cli.test_errors import one_sentence

SETTINGS = ["--ipc", "2", "--algorithm", "random", "--width", "4"]
SETTINGS += ["--networks", "1", "--evaluate-steps", "6", "--full-epochs", "1"]


TINY = ["--algorithm", "dm", "--no-siamese", "--width", "4", "--batch", "8", "--steps", "2"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("continual") / "a"


def test_the_table_the_plot_and_the_json(rcig, store):
    outcome = rcig("continual", "digits", "--tasks", 2, *SETTINGS, "--store", store)
    assert outcome.code == 0, outcome.err
    head, first, second, path = outcome.out.splitlines()
    assert " ".join(head.split()) == "task classes accuracy random images all real images run"
    assert first.split()[:6] == ["1", "2,", "8,", "4,", "9,", "1"]
    assert (first.split()[-1], second.split()[-1]) == ("run_1", "run_2")
    with Image.open(path) as picture:
        assert min(picture.size) > 300
    assert "6 training steps are fewer than the 2000" in outcome.err
    again = rcig("continual", "digits", "--tasks", 2, *SETTINGS, "--store", store, "--json").json
    assert (again["sequence"], again["status"], again["files"]) == ("sequence_1", "finished", [path])
    assert [task["seen"] for task in again["tasks"]] == [5, 10]
    assert again["tasks"][0]["accuracy"].keys() == {"mean", "std", "values"}


def test_list_show_and_verify(rcig, store):
    (listed,) = rcig("list", "--store", store, "--json").json["sequences"]
    assert listed == {
        **{"sequence": "sequence_1", "status": "finished", "dataset": "digits"},
        "runs": ["run_1", "run_2"],
    }
    lines = rcig("list", "--store", store).out.splitlines()
    assert lines[-1].split()[:4] == ["sequence_1", "digits", "2/2", "finished"]
    assert any("digits (2, 8, 4, 9, 1)" in line for line in lines)
    shown = rcig("show", "sequence_1", "--store", store).out
    assert "after 2, 8, 4, 9, 1 (run_1): " in shown
    assert "on 10 classes, random images" in shown
    verified = rcig("verify", "--store", store, "--json").json
    assert (verified["ok"], verified["orphans"], verified["notes"]) == (True, [], [])


def test_mistakes(rcig, store, tmp_path):
    one_sentence(
        rcig("continual", "digits", "--tasks", 3, *SETTINGS, "--store", store), 2, "possible numbers of tasks"
    )
    one_sentence(rcig("continual", "--classes", "1,2", "--store", store), 2, "--classes")
    one_sentence(rcig("continual", "--store", tmp_path / "none", "--tasks", 2), 3, "no store")
    (tmp_path / "some.toml").write_text("stepz = 4\n")
    outcome = rcig("continual", "--config", tmp_path / "some.toml", "--store", store)
    one_sentence(outcome, 2, "There is no setting 'stepz'; did you mean steps?")
    (tmp_path / "some.toml").write_text("dataset = 4\n")
    outcome = rcig("continual", "--config", tmp_path / "some.toml", "--store", store)
    one_sentence(outcome, 2, "dataset must be text, not 4")


def test_a_run_of_some_classes(rcig, store, tmp_path):
    some = ("distill", "digits", "--classes", "8,3", "--ipc", 2, *TINY, "--store", store)
    outcome = rcig(*some, "--json")
    assert outcome.code == 0, outcome.err
    run = outcome.json["run"]
    assert f"{run} distils digits (8, 3) to 2 images per class" in outcome.err
    shown = rcig("show", run, "--store", store, "--json").json
    assert (shown["config"]["classes"], shown["images"]) == ("8,3", 4)
    assert shown["stored_bytes"] == {"images": 4 * 256, "labels": 4 * 2 * 4}
    (found,) = rcig(
        *("evaluate", run, "--networks", 1, "--steps", 30, "--full-data", "--full-epochs", 1),
        *("--store", store, "--json"),
    ).json["evaluations"]
    assert found["random_subset"]["mean"] >= 0.3  # chance is 0.5
    assert found["full_data"] is not None
    assert rcig("export", run, "--out", tmp_path / "some.npz", "--store", store).code == 0
    with np.load(tmp_path / "some.npz") as exported:
        assert exported["class_names"].tolist() == ["8", "3"]
        assert exported["labels"].shape == (4, 2)
    assert rcig("report", run, "--out", tmp_path / "some.html", "--store", store).code == 0
    page = (tmp_path / "some.html").read_text()
    assert "training images of digits (8, 3)" in page
    assert "--classes 8,3" in page
    other = rcig("visualize", run, "--compare", "run_1", "--out", tmp_path / "c.png", "--store", store)
    one_sentence(other, 2, f"{run} is of digits (8, 3), run_1 of digits (2, 8, 4, 9, 1)")
    one_sentence(
        rcig("distill", "--resume", run, "--classes", "8,4", "--store", store), 2, "classes: 8,4, not 8,3"
    )
    one_sentence(rcig(*(word if word != "8,3" else "8,nine" for word in some)), 2, "there is no class 'nine'")
