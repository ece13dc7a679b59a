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
from tests.slow.faults.inspection import orphans, problems, tree
from tests.slow.faults.scenarios import DISTILL, done, prepare

AT_ONCE = 16
NOISE = ("Traceback", "should not have happened")


def product(store, run):
    """What a run vouches for, by its path in the run."""
    folder = store / "runs" / run
    vouched = json.loads((folder / "manifest.json").read_text())["files"]
    return {name: (folder / name).read_bytes() for name in vouched}


@pytest.fixture(scope="module")
def unfinished(commands, tmp_path_factory):
    """A store with a run that was killed, and what finishing it gives."""
    return prepare(commands, "distill, going on", tmp_path_factory.mktemp("unfinished"))


@contextmanager
def reading(store):
    """Read the whole store over and over; yield a list that gets what was wrong each time."""
    seen, ended = [], threading.Event()

    def read():
        while not ended.is_set():
            opened = open_store(store, create=False)
            runs = opened.runs()
            wrong = [problem.message for problem in opened.datasets().problems + runs.problems]
            for run in runs.found:
                wrong += mismatches(opened.run_path(run.name), run.files).items()
            seen.append(wrong)

    reader = threading.Thread(target=read)
    reader.start()
    yield seen
    ended.set()
    reader.join()


def test_many_prepare_one_data_set_at_once(commands, tmp_path):
    store = tmp_path / "artifacts"
    ran = commands.at_once(*[("prepare", "digits", "--store", store)] * 6)
    assert any(one.code == 0 for one in ran)
    for one in ran:
        assert one.code == 0 or one.err.startswith("rcig: "), one.err
        assert not any(word in one.err for word in NOISE)
    done(commands, "prepare", "digits", store=tmp_path / "alone")
    assert tree(store) == tree(tmp_path / "alone")
    assert problems(store) == orphans(store) == []


def test_many_distil_in_one_store_at_once(commands, tmp_path):
    store = tmp_path / "artifacts"
    done(commands, "prepare", "digits", store=store)
    lines = [(*DISTILL[:-1], "--seed", seed, "--store", store, "--json") for seed in range(AT_ONCE)]
    lines += [("prepare", "digits", "--store", store), *[("list", "--json", "--store", store)] * 3]
    with reading(store) as seen:
        ran = commands.at_once(*lines)
    assert [one.code for one in ran] == [0] * len(lines), [one.err for one in ran]
    assert len(seen) >= 3
    assert not any(seen), seen
    names = [json.loads(one.out)["run"] for one in ran[:AT_ONCE]]
    assert sorted(names) == sorted(f"run_{number}" for number in range(1, AT_ONCE + 1))
    runs = {run.name: run for run in open_store(store, create=False).runs().found}
    assert {runs[name].seed for name in names} == set(range(AT_ONCE))
    assert problems(store) == orphans(store) == []
    for seed in (0, AT_ONCE - 1):
        alone = tmp_path / f"alone-{seed}"
        shutil.copytree(store / "datasets", alone / "datasets")
        shutil.copy(store / "store.json", alone)
        done(commands, *DISTILL, "--seed", seed, store=alone)
        assert product(store, names[seed]) == product(alone, "run_1")


@pytest.fixture
def killed(unfinished):
    return unfinished.fresh(), unfinished


def test_all_writers_but_the_first_are_refused_at_once(commands, killed):
    store, _ = killed
    before = tree(store)
    with RunLock(store / "runs/run_1"):
        began = time.monotonic()
        ran = commands.at_once(*[("distill", "--resume", "run_1", "--store", store)] * 4)
        ran += commands.at_once((*DISTILL, "--store", store))
        taken = time.monotonic() - began
    assert [one.code for one in ran] == [4] * 5
    assert all("rcig: run_1 is being written by process" in one.err for one in ran)
    assert taken < 20
    assert tree(store) == before


def test_with_wait_they_come_one_after_the_other(commands, killed):
    store, prepared = killed
    line = ("distill", "--resume", "run_1", "--wait", "--store", store)
    found = []
    with RunLock(store / "runs/run_1"):
        waiting = threading.Thread(target=lambda: found.extend(commands.at_once(line, line, line)))
        waiting.start()
        for index in range(3):
            wait_for("Waiting for it to end.", commands.err(index))
    waiting.join()
    assert [one.code for one in found] == [0] * 3, [one.err for one in found]
    assert sum("goes on to distil" in one.err for one in found) == 1
    assert sum("run_1 is finished." in one.err for one in found) == 2
    assert tree(store) == prepared.undisturbed


def wait_for(words, path):
    end = time.monotonic() + 60
    while not (path.exists() and words in path.read_text()):
        assert time.monotonic() < end, path.read_text() if path.exists() else path
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_waiting_ends_with_a_signal(killed, number, code):
    store, _ = killed
    before = tree(store)
    with RunLock(store / "runs/run_1"):
        process = start_rcig("distill", "--resume", "run_1", "--wait", "--store", store)
        said = process.stderr.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert "is being written by process" in said
    assert "Waiting for it to end." in said
    assert process.returncode == code
    assert "Traceback" not in err
    assert tree(store) == before


def test_wait_belongs_to_resume(rcig, tmp_path):
    outcome = rcig("distill", "digits", "--ipc", 1, "--wait", "--store", tmp_path)
    assert outcome.code == 2
    assert "--wait belongs to --resume" in outcome.err


def test_a_data_set_is_prepared_once_where_many_begin_at_once(commands, tmp_path):
    store = tmp_path / "artifacts"
    ran = commands.at_once(*[("distill", "--ipc", 1, "--steps", 2, "--store", store)] * 4)
    for one in ran:
        assert one.code == 0 or one.err.splitlines()[-1].startswith("rcig: "), one.err
    assert any(one.code == 0 for one in ran)
    assert problems(store) == []
