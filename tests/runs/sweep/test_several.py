"""Sweeps of several data sets, by several protocols, and of runs that are to end in a given time."""

import json

import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.sweep import sweep as job

FILE = """
ipc = 1
width = 4
batch = 32
minutes = 2

[[sweep]]
dataset = "digits"
algorithm = "kip"
seed = [0, 1]

[[sweep]]
dataset = "own"
algorithm = ["kip", "random"]

[[evaluate]]
networks = 1
steps = 3

[[evaluate]]
protocol = "dc-bench"
networks = 1
steps = 3
baseline = false
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the file of a sweep, and a data set of three classes."""
    folder, random = tmp_path_factory.mktemp("several"), np.random.default_rng(0)
    images = random.integers(256, size=(48, 8, 8, 1), dtype=np.uint8)
    labels = np.arange(48) % 3
    np.savez(folder / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    (folder / "sweep.toml").write_text(FILE)
    return folder


@pytest.mark.slow
def test_it_is_resumed_with_the_settings_that_were_chosen(rcig, folder, tmp_path, monkeypatch):
    """Each choice, which depends on the clock, is made once, for all seeds; no evaluation is repeated.

    A run for which there is not enough time is left out, until the command is run again.
    """
    chosen, evaluated = [], []

    def choose(prepared, given, minutes, context):
        assert minutes == 2
        chosen.append(prepared.name)
        if chosen == ["digits", "own"]:
            raise ConfigError("2 minutes is too short.")
        steps = 2 + len(chosen)
        budget = {"minutes": minutes, "given": given, "chosen": {"steps": steps}, "reason": "Chosen."}
        return resolved(prepared, {**given, "steps": steps}), budget

    def evaluate(*arguments, evaluate=job.evaluate, **options):
        evaluated.append(arguments)
        if len(evaluated) == 4:
            raise KeyboardInterrupt
        return evaluate(*arguments, **options)

    monkeypatch.setattr(job, "choose_settings", choose)
    monkeypatch.setattr(job, "evaluate", evaluate)
    store = tmp_path / "a"
    rcig("prepare", "own", "--from", folder / "own.npz", "--store", store)
    line = ("sweep", folder / "sweep.toml", "--store", store)
    assert rcig(*line).code == 130
    assert (chosen, len(list((store / "runs").iterdir()))) == (["digits"], 2)
    outcome = rcig(*line, "--json")
    said = " ".join(outcome.err.split())
    assert "run 3 of 4, dataset own, algorithm kip, seed 0 is left out. 2 minutes is too short." in said
    assert [row["runs"] for row in outcome.json["rows"]] == [["run_1", "run_2"]] * 2 + [["run_3"]] * 2
    outcome = rcig(*line, "--json")
    assert outcome.code == 0
    assert "minutes is not a setting of random, whose runs ignore it" in outcome.err
    document = outcome.json
    assert (chosen, len(evaluated)) == (["digits", "own", "own"], 9)

    assert (document["axes"], document["dataset"]) == (["dataset", "algorithm"], "digits, own")
    assert document["protocols"] == ["rcig", "dc-bench"]
    rows = document["rows"]
    assert [
        (*row["settings"].values(), row["protocol_label"], row["steps"], row["minutes"], row["runs"])
        for row in rows
    ] == [
        ("digits", "kip", "rcig", 3, 2, ["run_1", "run_2"]),
        ("digits", "kip", "dc-bench", 3, 2, ["run_1", "run_2"]),
        ("own", "kip", "rcig", 5, 2, ["run_4"]),
        ("own", "kip", "dc-bench", 5, 2, ["run_4"]),
        ("own", "random", "rcig", 0, None, ["run_3"]),
        ("own", "random", "dc-bench", 0, None, ["run_3"]),
    ]
    assert rows[1]["protocol"]["norm"] == "instance"
    assert [row["seeds"] for row in rows[:2]] == [[0, 1], [0, 1]]
    assert rows[0]["stored_bytes"]["labels"] == 400 > rows[2]["stored_bytes"]["labels"]
    assert rows[5]["milliseconds_per_step"] is None
    assert rows[5]["seconds_in_all"] > 0
    baselines = document["random_subsets"]
    assert [(each["dataset"], each["protocol_label"]) for each in baselines] == [
        ("digits", "rcig"),
        ("own", "rcig"),
    ]
    manifest = json.loads((store / "sweeps" / "sweep_1" / "manifest.json").read_text())
    assert manifest["parents"].keys() == {"digits", "own"}
    assert "needed by" in rcig("rm", "own", "--yes", "--store", store).err

    outcome = rcig(*line)  # prints the table again
    assert (len(chosen), len(evaluated)) == (3, 9)
    assert outcome.out.split("\n")[0].split() == [
        *("dataset", "algorithm", "protocol", "accuracy", "steps", "batch", "width", "stored", "ms/step"),
        *("seconds", "in", "all", "runs"),
    ]
    assert "random images, own" in outcome.out
    edited = folder / "edited.toml"
    first, *_ = FILE.replace("seed = [0, 1]", "seed = [0, 1, 2]").partition("protocol")
    edited.write_text(first.removesuffix("[[evaluate]]\n"))
    rows = rcig("sweep", edited, "--store", store, "--json").json["rows"]
    assert [row["runs"] for row in rows] == [["run_1", "run_2", "run_5"], ["run_4"], ["run_3"]]
    assert (len(chosen), len(evaluated)) == (3, 10)
    assert "digits, own" in rcig("list", "--store", store).out
    assert "dataset digits, protocol dc-bench: " in rcig("show", "sweep_1", "--store", store).out


def test_the_classes_that_are_distilled_can_be_swept(rcig, folder, tmp_path):
    store = tmp_path / "a"
    rcig("prepare", "own", "--from", folder / "own.npz", "--store", store)
    (tmp_path / "classes.toml").write_text(
        'ipc = 1\nwidth = 4\nalgorithm = "random"\n[sweep]\nclasses = ["2,0", "0,1"]\n'
        "[evaluate]\nnetworks = 1\nsteps = 3\n"
    )
    found = rcig("sweep", tmp_path / "classes.toml", "--store", store, "--json").json
    assert [row["settings"] for row in found["rows"]] == [{"classes": "2,0"}, {"classes": "0,1"}]
    assert [row["stored_bytes"]["labels"] for row in found["rows"]] == [16, 16]
    assert [each["classes"] for each in found["random_subsets"]] == ["2,0", "0,1"]
    again = rcig("sweep", tmp_path / "classes.toml", "--store", store, "--json").json
    assert (again["sweep"], again["rows"]) == (found["sweep"], found["rows"])
