"""A sweep that is stopped or killed and resumed gives the table of an uninterrupted one."""

import json
import signal
import time

from tests.conftest import start_rcig
from tests.runs.sweep.test_sweep import FILE, found

TEXT = FILE.replace("steps = 12", "steps = 150").format(steps=400)


def sweep_json(*arguments):
    process = start_rcig("sweep", *arguments, "--json")
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return json.loads(out)


def manifest(store):
    return json.loads((store / "sweeps" / "sweep_1" / "manifest.json").read_text())


def wait_for(condition, process):
    while process.poll() is None and not condition():
        time.sleep(0.01)


def test_stopped_while_distilling_while_evaluating_and_killed(tmp_path):
    file, store = tmp_path / "sweep.toml", tmp_path / "a"
    file.write_text(TEXT)
    uninterrupted = sweep_json(file, "--store", tmp_path / "b")
    sweep = ("sweep", file, "--checkpoint-every", 50, "--store", store)
    again = f"To resume: rcig sweep {file} --store {store}"

    process = start_rcig(*sweep)
    wait_for((store / "runs" / "run_1" / "checkpoints" / "50").exists, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 143, out + err
    assert "Stopped at step" in err
    assert again in err
    assert (manifest(store)["status"], manifest(store)["runs"]) == ("interrupted", ["run_1"])

    process = start_rcig(*sweep)
    wait_for((store / "runs" / "run_1" / "distilled.zarr").exists, process)
    wait_for(lambda: json.loads((store / "runs/run_1/manifest.json").read_text())["files"], process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130, out + err
    assert again in err
    assert manifest(store)["runs"] == ["run_1"]

    process = start_rcig(*sweep)
    wait_for((store / "runs" / "run_2" / "metrics.jsonl").exists, process)
    process.kill()
    process.communicate()

    assert found(sweep_json(*sweep[1:])) == found(uninterrupted)
    for name in ("run_1", "run_2"):
        assert len(list((store / "runs" / name / "evaluations").iterdir())) == 1


def test_killed_while_settings_are_chosen_and_while_distilling(tmp_path):
    """The settings of a run that began are not chosen again, and runs of other seeds have the same."""
    file, store = tmp_path / "sweep.toml", tmp_path / "a"
    file.write_text(
        'dataset = "digits"\nipc = 1\nminutes = 0.3\n[sweep]\nalgorithm = "kip"\nseed = [0, 1]\n'
        "[[evaluate]]\nnetworks = 1\nsteps = 5\n"
        '[[evaluate]]\nprotocol = "dc-bench"\nnetworks = 1\nsteps = 5\n'
    )
    sweep = ("sweep", file, "--store", store)
    for begun in ("sweeps/sweep_1/manifest.json", "runs/run_1/metrics.jsonl"):
        process = start_rcig(*sweep)
        wait_for((store / begun).exists, process)
        time.sleep(1)
        process.kill()
        process.communicate()
    path = store / "runs" / "run_1" / "manifest.json"
    first = json.loads(path.read_text())
    rows = sweep_json(*sweep[1:])["rows"]
    assert [(row["protocol_label"], row["runs"]) for row in rows] == [
        ("rcig", ["run_1", "run_2"]),
        ("dc-bench", ["run_1", "run_2"]),
    ]
    assert first["status"] == "running"
    ended = json.loads(path.read_text())
    assert (ended["config"], ended["budget"]) == (first["config"], first["budget"])
    second = json.loads((store / "runs" / "run_2" / "manifest.json").read_text())
    assert second["config"] == {**ended["config"], "seed": 1}
    assert second["budget"]["given"] == {**ended["budget"]["given"], "seed": 1}
