"""Many processes in one store at once: every run has its own name and one writer, and none is lost."""

import json
import shutil
import signal
import threading
import time
from contextlib import contextmanager

import pytest

from rcig_cli.store.digests import mismatches
from rcig_cli.store.locks import RunLock
from rcig_cli.store.store import open_store
from tests.conftest import start_rcig
from tests.slow.faults.inspection import problems, temporaries, tree
from tests.slow.faults.scenarios import DISTILL, prepare, run

WRITERS = 16


def product(store, name):
    """Return the files of a run that its manifest records, by their path in the run."""
    folder = store / "runs" / name
    recorded = json.loads((folder / "manifest.json").read_text())["files"]
    return {path: (folder / path).read_bytes() for path in recorded}


@contextmanager
def reading(store):
    """Read the whole store over and over; yield a list that gets what was wrong each time."""
    seen, ended = [], threading.Event()

    def read():
        while not ended.is_set():
            opened = open_store(store, create=False)
            runs = opened.runs()
            wrong = list(opened.datasets().problems + runs.problems)
            for each in runs.found:
                wrong += mismatches(opened.run_path(each.name), each.files).items()
            seen.append(wrong)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield seen
    finally:
        ended.set()
        reader.join()


def test_many_processes_prepare_the_same_data_set(commands, tmp_path):
    store = tmp_path / "artifacts"
    results = commands.at_once(*[("prepare", "digits", "--store", store)] * 6)
    assert any(one.code == 0 for one in results)
    for one in results:
        assert one.code == 0 or one.err.startswith("rcig: "), one.err
        assert "Traceback" not in one.err
        assert "Internal error" not in one.err
    run(commands, "prepare", "digits", store=tmp_path / "alone")
    assert tree(store) == tree(tmp_path / "alone")
    assert problems(store) == temporaries(store) == []


def test_many_processes_distill_in_one_store(commands, tmp_path):
    store = tmp_path / "artifacts"
    run(commands, "prepare", "digits", store=store)
    lines = [(*DISTILL[:-1], "--seed", seed, "--store", store, "--json") for seed in range(WRITERS)]
    lines += [("prepare", "digits", "--store", store), *[("list", "--json", "--store", store)] * 3]
    with reading(store) as seen:
        results = commands.at_once(*lines)
    assert [one.code for one in results] == [0] * len(lines), [one.err for one in results]
    assert len(seen) >= 3
    assert not any(seen), seen
    names = [json.loads(one.out)["run"] for one in results[:WRITERS]]
    assert sorted(names) == sorted(f"run_{number}" for number in range(1, WRITERS + 1))
    runs = {each.name: each for each in open_store(store, create=False).runs().found}
    assert {runs[name].seed for name in names} == set(range(WRITERS))
    assert problems(store) == temporaries(store) == []
    for seed in (0, WRITERS - 1):
        alone = tmp_path / f"alone-{seed}"
        shutil.copytree(store / "datasets", alone / "datasets")
        shutil.copy(store / "store.json", alone)
        run(commands, *DISTILL, "--seed", seed, store=alone)
        assert product(store, names[seed]) == product(alone, "run_1")


def test_several_processes_that_find_no_data_set_prepare_it_once(commands, tmp_path):
    store = tmp_path / "artifacts"
    results = commands.at_once(*[("distill", "--ipc", 1, "--steps", 2, "--store", store)] * 4)
    for one in results:
        assert one.code == 0 or one.err.splitlines()[-1].startswith("rcig: "), one.err
    assert any(one.code == 0 for one in results)
    assert problems(store) == []


@pytest.fixture(scope="module")
def killed_run(commands, tmp_path_factory):
    """A store with a run that was killed, and the result of finishing it."""
    return prepare(commands, "resume", tmp_path_factory.mktemp("killed"))


@pytest.fixture
def killed(killed_run):
    return killed_run.reset(), killed_run


def test_all_writers_but_the_first_are_refused_at_once(commands, killed):
    store, _ = killed
    before = tree(store)
    with RunLock(store / "runs/run_1"):
        began = time.monotonic()
        results = commands.at_once(*[("distill", "--resume", "run_1", "--store", store)] * 4)
        results += commands.at_once((*DISTILL, "--store", store))
        seconds = time.monotonic() - began
    assert [one.code for one in results] == [4] * 5
    assert all("rcig: run_1 is being written by process" in one.err for one in results)
    assert seconds < 20
    assert tree(store) == before


def test_with_wait_writers_follow_one_another(commands, killed):
    store, prepared = killed
    line = ("distill", "--resume", "run_1", "--wait", "--store", store)
    results = []
    with RunLock(store / "runs/run_1"):
        waiting = threading.Thread(target=lambda: results.extend(commands.at_once(line, line, line)))
        waiting.start()
        for index in range(3):
            wait_for("Waiting for it to end.", commands.err(index))
    waiting.join()
    assert [one.code for one in results] == [0] * 3, [one.err for one in results]
    assert sum("run_1 resumes distilling" in one.err for one in results) == 1
    assert sum("run_1 is already finished." in one.err for one in results) == 2
    assert tree(store) == prepared.undisturbed


def wait_for(text, path):
    end = time.monotonic() + 60
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < end, path.read_text() if path.exists() else path
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_waiting(killed, number, code):
    store, _ = killed
    before = tree(store)
    with RunLock(store / "runs/run_1"):
        process = start_rcig("distill", "--resume", "run_1", "--wait", "--store", store)
        message = process.stderr.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert "is being written by process" in message
    assert "Waiting for it to end." in message
    assert process.returncode == code
    assert "Traceback" not in err
    assert tree(store) == before
