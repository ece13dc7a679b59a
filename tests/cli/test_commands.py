"""Commands as a user types them: what they print, where, and with which exit code."""

import json
import re
import shutil
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
from PIL import Image

import rcig_cli
from rcig_cli.cli.app import COMMANDS
from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.evaluate.results import Evaluation
from rcig_cli.store.store import open_store
from tests.conftest import TINY, start_rcig
from tests.data.examples import pixels, save_picture


def test_distill_prepares_digits_in_an_empty_store(rcig, tmp_path):
    outcome = rcig("distill", "--ipc", 1, *TINY, "--steps", 2, "--store", tmp_path / "a")
    out, err = outcome.out, outcome.err
    assert outcome.code == 0
    assert out.startswith("run_1: 1 image per class of digits, 2 steps, loss ")
    assert out.endswith(f" % in the last 2 steps, in {tmp_path / 'a' / 'runs' / 'run_1'}\n")
    assert f"on a CPU with {processors()} core" in err
    assert "Preparing digits" in err
    assert err.index("run_1 distils digits") < err.index("distilling 2/2")
    assert err.rstrip().endswith(f"Next: rcig evaluate run_1 --store {tmp_path / 'a'}")


def test_quiet_prints_nothing_on_stderr_and_json_one_object(tmp_path):
    process = start_rcig(
        "distill", "--ipc", 1, *TINY, "--steps", 2, "--store", tmp_path / "a", "--quiet", "--json"
    )
    out, err = process.communicate()
    assert err == ""
    document = json.loads(out)
    assert 0 <= document.pop("metrics")["accuracy"] <= 1
    assert document.pop("path") == str(tmp_path / "a" / "runs" / "run_1")
    assert document == {"run": "run_1", "status": "finished", "step": 2, "dataset": "digits", "ipc": 1}


def test_prepare_prints_and_records_what_was_assumed(rcig, tmp_path):
    for name in ("a", "b"):
        for index in range(5):
            save_picture(tmp_path / "pets" / name / f"{index}.png", pixels(6, 6, 3, seed=index))
    done = rcig("prepare", "pets", "--from", tmp_path / "pets", "--store", tmp_path / "store", "--json")
    about = {each["about"]: each["text"] for each in done.json["assumptions"]}
    assert about["classes"] == "2 classes, in this order: a, b."
    assert "fixed fifth" in about["splits"]
    assert all(text in done.err for text in about.values())
    shown = rcig("show", "pets", "--store", tmp_path / "store", "--json").json
    assert shown["source"]["notes"] == done.json["assumptions"]
    again = ("prepare", "pets", "--from", tmp_path / "pets", "--store", tmp_path / "store")
    assert rcig(*again).code == 0
    save_picture(tmp_path / "pets" / "a" / "new.png", pixels(6, 6, 3))
    assert "have changed since pets was prepared" in rcig(*again).err
    refused = rcig(
        "prepare", "pets", "--from", tmp_path / "pets", "--layout", "nchw", "--store", tmp_path / "b"
    )
    assert refused.code == 2
    assert "--layout can't be used with" in refused.err


def test_prepare_prints_a_summary_and_needs_overwrite_to_change_a_data_set(rcig, tmp_path):
    store = tmp_path / "a"
    expected = {"dataset": "digits", "train": 1437, "test": 360, "classes": 10, "shape": [8, 8, 1]}
    expected |= {"whitened": False, "class_names": list("0123456789"), "assumptions": []}
    assert rcig("prepare", "digits", "--store", store, "--json").json == expected
    again = rcig("prepare", "digits", "--store", store)
    assert again.code == 0
    assert "already prepared" in again.err
    refused = rcig("prepare", "digits", "--resolution", 12, "--store", store)
    assert refused.code == 2
    assert "resolution: not given before, 12 now" in refused.err
    larger = rcig("prepare", "digits", "--resolution", 12, "--overwrite", "--store", store, "--json")
    assert larger.json["shape"] == [12, 12, 1]


def test_colour_images_are_whitened_and_drawn_in_their_own_colours(rcig, tmp_path):
    store = tmp_path / "a"
    random = np.random.default_rng(0)
    hues = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], np.float64)
    labels = np.arange(90) % 3
    images = np.clip(hues[labels][:, None, None] + random.normal(0, 25, (90, 8, 8, 3)), 0, 255).astype(
        np.uint8
    )
    path = tmp_path / "hues.npz"
    np.savez(
        path,
        x_train=images,
        y_train=labels,
        x_test=images[:30],
        y_test=labels[:30],
        class_names=["red", "green", "blue"],
    )
    assert rcig("prepare", "hues", "--from", path, "--store", store, "--json").json["whitened"] is True
    assert rcig("distill", "hues", "--ipc", 2, "--algorithm", "random", "--store", store).code == 0
    picture = tmp_path / "out.png"
    shown = rcig("visualize", "run_1", "--grid", "--out", picture, "--store", store, "--json")
    assert shown.json == {"run": "run_1", "files": [str(picture)]}
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.convert("RGB")).reshape(-1, 3).astype(int)
    for hue in hues:
        assert (np.abs(pixels - hue).max(axis=1) < 40).sum() > 1000


def test_evaluate_prints_accuracies_and_stores_them_with_the_protocol(rcig, digits_run):
    outcome = rcig("evaluate", "run_1", "--networks", 2, "--steps", 20, "--store", digits_run, "--json")
    (evaluation,) = outcome.json["evaluations"]
    assert outcome.json["run"] == "run_1"
    kind = {"architecture": "convnet", "normalization": "none", "augment": False}
    assert kind.items() <= evaluation.items()
    for who in ("accuracy", "random_subset"):
        values = evaluation[who]["values"]
        assert len(values) == 2
        assert all(0 <= value <= 1 for value in values)
        assert evaluation[who]["mean"] == pytest.approx(np.mean(values))
        assert evaluation[who]["std"] == pytest.approx(np.std(values))
    assert evaluation["paper"] is None
    assert evaluation["protocol"]["steps"] == 20
    kept = sorted((digits_run / "runs" / "run_1" / "evaluations").glob("*.json"))
    assert any(json.loads(path.read_text())["protocol"] == evaluation["protocol"] for path in kept)


def test_evaluation_is_deterministic_and_depends_on_seed_or_augmentation(rcig, digits_run):
    def values(*flags):
        fixed = ["--networks", 1, "--steps", 30, "--lr", "1e-2", "--baseline", "none", "--store", digits_run]
        outcome = rcig("evaluate", "run_1", *fixed, "--json", *flags)
        return outcome.json["evaluations"][0]["accuracy"]["values"]

    assert values() == values()
    assert values() != values("--seed", 1) or values() != values("--augment")


def test_evaluate_prints_a_table(rcig, digits_run):
    outcome = rcig("evaluate", "run_1", "--networks", 1, "--steps", 5, "--store", digits_run)
    assert re.search(r"convnet, width 4 +\d+\.\d % +\d+\.\d % +2\.6 kB$", outcome.out, re.MULTILINE)
    assert "Test accuracy of 1 network trained on run_1 for 5 steps." in outcome.err


def test_evaluate_trains_every_architecture_with_every_norm(rcig, digits_run):
    some = ["--networks", 1, "--steps", 3, "--baseline", "none", "--norm", "batch", "--norm", "none"]
    outcome = rcig("evaluate", "run_1", *some, "--hard-labels", "--store", digits_run)
    lines = [line.split("  ")[0] for line in outcome.out.splitlines()]
    assert lines == ["network", "convnet, batch norm, width 4", "convnet, width 4"]
    assert "Test accuracy of 1 network trained on run_1 for 3 steps, hard labels." in outcome.err


def test_hard_labels_are_the_largest_classes_of_the_learned_labels(rcig, digits_run, monkeypatch):
    from rcig_cli.runs.evaluate import evaluate as job

    shown = []
    monkeypatch.setattr(job, "training_set", lambda *given, **_: shown.append(given[1]) or given)
    monkeypatch.setattr(job, "make_measurement", lambda *_: lambda *_: job.Spread((0.5,)))
    for flags in ((), ("--hard-labels",)):
        outcome = rcig("evaluate", "run_1", "--baseline", "none", "--store", digits_run, *flags, "--json")
        assert outcome.json["evaluations"][0]["hard_labels"] is bool(flags)
    learned, hard = map(np.asarray, shown)
    assert (hard.argmax(1) == learned.argmax(1)).all()
    assert np.allclose(np.unique(hard), [-0.1, 0.9])
    assert len(np.unique(learned)) > 2


def test_the_learning_rate_is_chosen_on_held_out_training_images(rcig, digits_run, tmp_path, monkeypatch):
    from rcig_cli.runs.evaluate import evaluate as job

    shutil.copytree(digits_run, tmp_path / "a")
    of_set, of_random = {0.1: 0.5, 0.01: 0.7, 0.001: 0.6}, {0.1: 0.4, 0.01: 0.2, 0.001: 0.3}

    def make_measurement(prepared, protocol, report):
        def measure(stream, sets, label, networks=None, on=None, /):
            kind = of_set if hasattr(sets, "images") else of_random
            if on is None:
                tested.append((stream, label, protocol.lr))
                return job.Spread((0.9,))
            assert networks == 1
            assert len(on[1]) == prepared.sizes["train"] // 10
            return job.Spread((kind[protocol.lr],))

        return measure

    tested = []
    monkeypatch.setattr(job, "make_measurement", make_measurement)
    choose = ["evaluate", "run_1", "--choose-lr", "0.1,0.01,0.001", "--store", tmp_path / "a"]
    outcome = rcig(*choose, "--json")
    assert tested == [(0, "training networks on run_1", 0.01), (1, "training networks on random images", 0.1)]
    (document,) = outcome.json["evaluations"]
    assert {name: each["chosen"] for name, each in document["lr_choices"].items()} == {
        "set": 0.01,
        "random_subset": 0.1,
    }
    assert document["lr_choices"]["set"]["tried"][0] == {"lr": 0.1, "accuracy": 0.5}
    assert Evaluation.from_json("run_1", document).to_json() == document
    chosen = "The learning rate 0.01 was chosen for run_1, by the accuracy on 143 held-out training images: "
    assert chosen + "50.0 % with 0.1, 70.0 %" in outcome.err
    outcome = rcig(*choose, "--full-data")
    assert outcome.code == 2
    assert "--choose-lr can't be combined with full_data or scores" in outcome.err


def test_compare_shows_different_settings_and_accuracies(rcig, digits_run, tmp_path):
    store = tmp_path / "a"
    shutil.copytree(digits_run, store)
    rcig("distill", "--ipc", 1, *TINY, "--steps", 4, "--seed", 3, "--store", store)
    protocol = ["--networks", 1, "--steps", 5, "--store", store, "--json"]
    first = rcig("evaluate", "run_1", *protocol).json["evaluations"][0]
    second = rcig("evaluate", "run_2", *protocol, "--baseline", "none").json["evaluations"][0]
    document = rcig("compare", "run_1", "run_2", "--store", store, "--json").json
    assert [run["run"] for run in document["runs"]] == ["run_1", "run_2"]
    assert document["differences"] == {"steps": [6, 4], "seed": [0, 3]}
    row = next(row for row in document["evaluations"] if row["protocol"] == first["protocol"])
    assert row["accuracy"] == [first["accuracy"], second["accuracy"]]
    assert row["random_subset"] == [first["random_subset"], None]
    table = rcig("compare", "run_1", "run_2", "--store", store).out
    assert re.search(r"^steps +6 +4$", table, re.MULTILINE)
    assert re.search(r"^convnet, width 4, 5 steps, 1 network +\d+\.\d % +\d+\.\d %$", table, re.MULTILINE)
    assert re.search(r"^  random subset +\d+\.\d % +-$", table, re.MULTILINE)
    alone = rcig("compare", "run_1", "run_1", "--store", store)
    assert alone.code == 2
    assert "two or more runs" in alone.err


def test_list_and_show(rcig, digits_run):
    listed = rcig("list", "--store", digits_run, "--json").json
    assert [dataset["dataset"] for dataset in listed["datasets"]] == ["digits"]
    run = {"run": "run_1", "status": "finished", "step": 6, "dataset": "digits", "ipc": 1}
    run |= {"parametrization": "raw", "images": 10, "raw_images": 10}
    run["stored_bytes"] = {"images": 2560, "labels": 400}
    assert {name: listed["runs"][0][name] for name in run} == run
    assert re.search(r"run_1 +digits +1 +2\.6 kB +.*finished", rcig("list", "--store", digits_run).out)
    shown = rcig("show", "run_1", "--store", digits_run, "--json").json
    assert shown["config"]["inner_steps"] == 2
    shown = rcig("show", "run_1", "--store", digits_run).out
    differing = shown.split("Settings that differ from the preset\n")[1].split("Other settings")[0]
    assert re.search(r"^inner_steps +2 +4", differing, re.MULTILINE)
    assert "pool_lr" not in differing


def test_settings_printed_as_toml_repeat_the_run(rcig, digits_run, tmp_path):
    shown = rcig("show", "run_1", "--toml", "--store", digits_run)
    assert tomllib.loads(shown.out)["inner_steps"] == 2
    assert re.search(r"^batch = 64 +# Real images per outer step\.$", shown.out, re.MULTILINE)
    (tmp_path / "settings.toml").write_text(shown.out)
    rcig("prepare", "digits", "--store", tmp_path / "a")
    again = rcig("distill", "--config", tmp_path / "settings.toml", "--store", tmp_path / "a", "--json")
    assert again.json["step"] == 6
    first, second = (rcig_cli.load("run_1", store=store) for store in (digits_run, tmp_path / "a"))
    assert second.images.tobytes() == first.images.tobytes()
    refused = rcig("show", "digits", "--toml", "--store", digits_run)
    assert refused.code == 2


def test_listing_an_empty_store_names_the_next_command(rcig, tmp_path):
    assert rcig("list", "--store", tmp_path / "none").code == 3
    open_store(tmp_path / "a", create=True)
    listed = rcig("list", "--store", tmp_path / "a")
    assert (listed.code, listed.out) == (0, "")
    assert "Next: rcig prepare digits --store" in listed.err


def test_every_help_page_has_an_example(rcig):
    assert [*COMMANDS] == re.findall(r"^  (\w+) ", rcig("--help").out.split("Commands:")[1], re.MULTILINE)
    for name in COMMANDS:
        assert f"Example: rcig {name}" in rcig(name, "--help").out


def test_help_takes_less_than_half_a_second_and_imports_no_command():
    code = (
        "import sys; from rcig_cli.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "ours = {name for name in sys.modules if name.startswith('rcig_cli.cli.')}\n"
        "heavy = {'jax', 'tensorflow', 'sklearn', 'zarr', 'numpy', 'pydantic', 'rich'} & set(sys.modules)\n"
        "print(sorted(ours), sorted(heavy), file=sys.stderr)"
    )
    times = []
    for _ in range(5):
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - start)
    assert done.stderr.strip() == "['rcig_cli.cli.app', 'rcig_cli.cli.command'] []"
    assert min(times) < 0.5


def test_doctor_finds_that_jax_computes_correctly(rcig):
    outcome = rcig("doctor", "--json")
    assert outcome.json["zero_derivative_is_zero"] is True
    checks = outcome.json["checks"]
    assert outcome.code == (0 if all(check["ok"] for check in checks) else 1)
    lines = rcig("doctor").out.splitlines()
    for check in checks:
        if check["about"] != "machine":  # how much memory is free changes
            assert f"{'✓' if check['ok'] else '✗'} {check['text']}" in lines
