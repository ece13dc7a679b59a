"""A run that is stopped, however, and resumed gives what an uninterrupted one gives, byte for byte."""

import json
import random
import signal
import time

import pytest

from tests.conftest import TINY, start_rcig

STEPS = 240
RUN = ["distill", "digits", "--ipc", "1", *TINY, "--steps", str(STEPS), "--checkpoint-every", "3"]


def finish(*arguments):
    process = start_rcig(*arguments)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return out, err


def product(store, run="run_1"):
    """Every byte the run vouches for: the distilled set, and the snapshots on its way."""
    folder = store / "runs" / run
    paths = [
        path for kind in ("distilled.zarr", "snapshots.zarr") for path in sorted((folder / kind).rglob("*"))
    ]
    assert any(path.name == "zarr.json" for path in paths if "snapshots.zarr" in path.parts)
    vouched = json.loads((folder / "manifest.json").read_text())["files"]
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}
    assert vouched.keys() == found.keys()
    return found


def metrics(store):
    lines = (store / "runs" / "run_1" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    store = tmp_path_factory.mktemp("uninterrupted") / "a"
    finish("prepare", "digits", "--store", store)
    finish(*RUN, "--store", store)
    return store


@pytest.fixture
def store(tmp_path):
    finish("prepare", "digits", "--store", tmp_path / "a")
    return tmp_path / "a"


def wait_for_steps(store, process, least):
    """Wait until the run has written the numbers of ``least`` more steps than when we began."""
    path = store / "runs" / "run_1" / "metrics.jsonl"
    before = len(path.read_text().splitlines()) if path.exists() else 0
    while process.poll() is None:
        now = len(path.read_text().splitlines()) if path.exists() else 0
        if now < before or now >= before + least:
            return
        time.sleep(0.01)


def test_killed_ten_times_at_random_moments(store, uninterrupted):
    moments = random.Random(1)
    kills = 0
    while kills < 10:
        process = start_rcig(*RUN, "--resume", "--store", store)
        if kills % 2:
            wait_for_steps(store, process, 1)
            time.sleep(moments.uniform(0, 0.3))
        else:
            time.sleep(moments.uniform(0.2, 5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    finish(*RUN, "--resume", "--store", store)
    assert product(store) == product(uninterrupted)
    assert metrics(store) == metrics(uninterrupted)
    assert [record["step"] for record in metrics(store)] == list(range(1, STEPS + 1))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_by_a_signal(store, uninterrupted, number, code):
    process = start_rcig(*RUN, "--checkpoint-every", "1000", "--store", store)
    wait_for_steps(store, process, 1)
    process.send_signal(number)
    out, err = process.communicate()
    assert process.returncode == code, out + err
    assert "To go on: rcig distill --resume run_1" in err
    manifest = json.loads((store / "runs/run_1/manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert 0 < manifest["step"] < STEPS
    finish("distill", "--resume", "run_1", "--store", store)
    assert product(store) == product(uninterrupted)


def test_resume_without_a_run_goes_on_with_the_newest_of_this_configuration(store):
    process = start_rcig(*RUN, "--store", store)
    wait_for_steps(store, process, 1)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    other = [*RUN, "--seed", "1"]
    out, _ = finish(*other, "--resume", "--steps", "3", "--store", store, "--json")
    assert json.loads(out)["run"] == "run_2"
    out, err = finish(*RUN, "--resume", "--store", store, "--json")
    assert json.loads(out) == {
        "run": "run_1",
        "status": "finished",
        "step": STEPS,
        "dataset": "digits",
        "ipc": 1,
    }
    assert "run_1 goes on" in err


def test_a_second_writer_is_refused_at_once(store):
    process = start_rcig(*RUN, "--store", store)
    wait_for_steps(store, process, 1)
    second = start_rcig("distill", "--resume", "run_1", "--store", store)
    _, err = second.communicate()
    still_running = process.poll() is None
    process.kill()
    process.communicate()
    assert still_running
    assert second.returncode == 4
    assert "run_1" in err


def test_a_damaged_newest_checkpoint_falls_back_with_a_warning(store, uninterrupted):
    process = start_rcig(*RUN, "--store", store)
    wait_for_steps(store, process, 8)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    folder = max((store / "runs/run_1/checkpoints").iterdir(), key=lambda path: int(path.name))
    victim = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(bytes(content))
    _, err = finish("distill", "--resume", "run_1", "--store", store)
    assert "Warning" in err
    assert product(store) == product(uninterrupted)
