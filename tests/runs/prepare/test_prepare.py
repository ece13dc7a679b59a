"""Prepare at scale: killed anywhere it goes on; bounded memory; the same bytes on any number of threads."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from rcig_cli.errors import ConfigError, Corrupt, Interrupted, Locked, RcigError
from rcig_cli.runs.prepare import prepare as job
from rcig_cli.runs.prepare import preparing
from rcig_cli.store.arrays import read_array
from rcig_cli.store.layout import open_store
from tests.runs.prepare.prepare_child import Generated, Silent, small_pieces

ROOT = Path(__file__).resolve().parent.parent.parent
CHILD = Path(__file__).resolve().parent / "prepare_child.py"


def start(store, **case):
    return subprocess.Popen(
        [sys.executable, CHILD, store, json.dumps(case)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finish(store, **case):
    process = start(store, **case)
    out, err = process.communicate()
    return process.returncode, json.loads(out.splitlines()[-1]) if process.returncode == 0 else err


def product(store, name="generated"):
    """Every file of the arrays, and what the manifest says but for the time."""
    folder = store / "datasets" / name
    arrays = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = json.loads(arrays.pop("manifest.json"))
    assert manifest["files"].keys() == arrays.keys()
    del manifest["created"], manifest["sha256"]  # the seal is of the time too
    return arrays, manifest


def left(store):
    """What lies beside the data sets."""
    return [path.name for path in (store / "datasets").iterdir() if path.name.startswith(".")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed") / "a"
    code, found = finish(store, save_every=1e9)
    assert code == 0, found
    assert left(store) == []
    return product(store)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Prepare a generated source in this process: ``here(source, ...) -> (manifest, what was told)``."""
    small_pieces(monkeypatch)
    store = open_store(tmp_path / "a", create=True)

    def run(source, report=None, save_every=0.0, name="generated", **options):
        monkeypatch.setattr(job, "open_source", lambda *_: source)
        monkeypatch.setattr(preparing, "SAVE_EVERY", save_every)
        monkeypatch.setattr(preparing, "_SAVING_SHARE", 1e9)
        report = report or Silent()
        config = options.pop("config", {})
        manifest = job.prepare(store, job.PrepareConfig(name, **config), report, **options)
        return manifest, report.told

    run.store = store.root
    return run


# Some 10 blocks are measured and 18 batches written; each is followed by a save.
@pytest.mark.parametrize(
    "kill",
    [("progress", n) for n in (2, 11, 30)]
    + [("sync", n) for n in (15, 180)]
    + [("rename", n) for n in (1, 2)]
    + [("swap", n) for n in (2, 12)],
    ids=lambda kill: "-".join(map(str, kill)),
)
def test_killed_and_run_again_gives_the_same_bytes(tmp_path, undisturbed, kill):
    code, _ = finish(tmp_path / "a", kill=kill)
    assert code == -signal.SIGKILL
    assert not (tmp_path / "a/datasets/generated").exists()
    code, found = finish(tmp_path / "a")
    assert code == 0, found
    assert product(tmp_path / "a") == undisturbed
    assert left(tmp_path / "a") == []


def test_killed_again_and_again_gives_the_same_bytes_and_repeats_little(tmp_path, undisturbed):
    store, kills = tmp_path / "a", 0
    while (result := finish(store, kill=("progress", 7)))[0] == -signal.SIGKILL:
        kills += 1
        assert kills < 20
    assert result[0] == 0, result[1]
    assert kills >= 4
    assert product(store) == undisturbed


def test_what_was_measured_is_not_measured_again(tmp_path, undisturbed):
    store = tmp_path / "a"
    assert finish(store, kill=("progress", 8))[0] == -signal.SIGKILL
    code, found = finish(store)
    assert code == 0, found
    first = next(entry for entry in found["told"] if isinstance(entry, list))
    assert first == ["measuring", 600, 900]
    assert any("Going on at image 600" in entry for entry in found["told"] if isinstance(entry, str))


@pytest.mark.parametrize("change", [{"config": {"zca_reg": 0.2}}, {"source": {"train": 901}}], ids=str)
def test_other_settings_or_data_begin_anew(tmp_path, change):
    store, fresh = tmp_path / "a", tmp_path / "b"
    assert finish(store, kill=("progress", 20))[0] == -signal.SIGKILL
    code, found = finish(store, **change)
    assert code == 0, found
    assert next(entry for entry in found["told"] if isinstance(entry, list))[:2] == ["measuring", 0]
    assert finish(fresh, **change)[0] == 0
    assert product(store) == product(fresh)
    assert left(store) == []


def test_a_changed_file_is_other_data(tmp_path):
    path = tmp_path / "own"
    path.mkdir()
    (path / "a.png").write_bytes(b"1")
    before = job.identity(Generated(), path)
    assert job.identity(Generated(), path) == before
    (path / "a.png").write_bytes(b"22")
    assert job.identity(Generated(), path) != before


@pytest.mark.parametrize(
    "part", ["state/progress.json", "state/arrays.zarr", "content/arrays.zarr/train/images/c/0"]
)
def test_what_is_damaged_is_not_gone_on_with(tmp_path, undisturbed, part):
    store = tmp_path / "a"
    assert finish(store, kill=("progress", 20))[0] == -signal.SIGKILL
    damaged = store / "datasets/.partial-generated" / part
    if damaged.is_dir():
        shutil.rmtree(damaged)
    else:
        damaged.write_bytes(damaged.read_bytes()[:-5])
    code, found = finish(store)
    assert code == 0, found
    assert product(store) == undisturbed


def test_killed_just_after_the_old_was_replaced_the_new_stands(tmp_path, undisturbed):
    """The old set then lies where the new one was made, and mustn't be taken for it."""
    store = tmp_path / "a"
    assert finish(store, config={"zca_reg": 0.5})[0] == 0
    old = product(store)
    swaps = 26  # the last one, which is the old set's
    while finish(store, overwrite=True, kill=("swap", swaps))[0] != -signal.SIGKILL:
        swaps -= 1
        shutil.rmtree(store)
        assert finish(store, config={"zca_reg": 0.5})[0] == 0
    assert product(store) == old
    code, found = finish(store, overwrite=True)
    assert code == 0, found
    assert product(store) == undisturbed


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_the_number_of_workers_does_not_change_the_bytes(here, undisturbed, workers):
    here(Generated(), save_every=1e9, workers=workers)
    assert product(here.store) == undisturbed


def test_images_and_labels_keep_their_order(here):
    source = Generated()
    here(source, workers=3, config={"zca": False})
    path = here.store / "datasets/generated/arrays.zarr"
    for split in ("train", "test"):
        batches = list(source.batches(split, 64))
        np.testing.assert_array_equal(
            read_array(path, f"{split}/labels"), np.concatenate([batch.labels for batch in batches])
        )
        pixels = np.concatenate([batch.images for batch in batches])
        mean, std = read_array(path, "whitening/mean"), read_array(path, "whitening/std")
        found = read_array(path, f"{split}/images")
        np.testing.assert_array_equal(found, (pixels.astype(np.float32) / np.float32(255) - mean) / std)


def test_both_passes_say_how_much_there_is_to_do(here):
    _, told = here(Generated())
    for label, total in (("measuring", 900), ("writing", 1050)):
        shown = [entry[1:] for entry in told if entry[0] == label]
        assert [done for done, _ in shown] == sorted(done for done, _ in shown)
        assert shown[0] == (0, total)
        assert shown[-1] == (total, total)
        assert {of for _, of in shown} == {total}


def test_a_source_that_fails_ends_in_its_sentence_and_no_thread_is_left(here):
    before = set(threading.enumerate())
    with pytest.raises(Corrupt, match="Image 500 is damaged"):
        here(Generated(fail_at=500), workers=3)
    assert set(threading.enumerate()) <= before
    assert left(here.store) == []


def test_a_disk_that_fails_leaves_no_thread_and_is_gone_on_with(here, undisturbed, monkeypatch):
    from rcig_cli.store import array_writer

    whole, before = array_writer._Column._flush, set(threading.enumerate())

    def full(column):
        if column.name == "train/images" and column.done >= 300:
            raise OSError(28, "No space left on device")
        whole(column)

    monkeypatch.setattr(array_writer._Column, "_flush", full)
    with pytest.raises(RcigError, match="The disk is full"):
        here(Generated(), workers=3)
    assert set(threading.enumerate()) <= before
    monkeypatch.undo()
    source = Generated()
    small_pieces(monkeypatch)
    here(source)
    assert product(here.store) == undisturbed
    assert source.read < 900 + 150 + 300
    assert left(here.store) == []


def test_a_signal_stops_at_once_and_says_how_to_go_on(here, undisturbed):
    report = Silent()
    report.on_progress = lambda count: count == 5 and os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(
        Interrupted, match=r"Stopped preparing generated at image .* of 900, measuring.*goes on"
    ):
        here(Generated(), report, save_every=1e9)
    report = Silent()
    report.on_progress = lambda count: count == 20 and os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Interrupted, match=r"of 1050, writing") as stopped:
        here(Generated(), report, save_every=1e9)
    assert stopped.value.exit_code == 128 + signal.SIGTERM
    here(Generated())
    assert product(here.store) == undisturbed


def test_a_signal_is_heard_while_a_source_is_slow(tmp_path):
    process = start(tmp_path / "a", say=True, source={"pause": 20})
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert time.monotonic() - began < 12
    assert "Interrupted: Stopped preparing generated at image 0 of 900" in err


def test_a_second_preparation_of_the_name_is_refused_or_waits(tmp_path, here):
    process = start(here.store, say=True, source={"pause": 0.3})
    process.stdout.readline()
    with pytest.raises(Locked, match=rf"generated is being written by process {process.pid}"):
        here(Generated())
    manifest, told = here(Generated(), wait=True)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert "Waiting for another process, which prepares generated." in told
    assert "generated is prepared already" in told[-1]
    assert manifest.sizes["train"] == 900
    assert left(here.store) == []


def test_without_room_it_does_not_begin(here, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 700_000))
    source = Generated()
    # Images, labels, two matrices and the sums: all that is written, and a hundredth more.
    pixels, dimension = SIDE_BYTES * 1050, 8 * 8 * 3
    arrays = pixels + 4 * 1050 + 2 * 4 * dimension**2 + 4 * dimension + 24
    needed = int(arrays * 1.01) + 8 * dimension**2
    with pytest.raises(RcigError, match=rf"takes up to {needed} bytes more .* has 700000 .* free"):
        here(source)
    assert source.read == 0
    assert left(here.store) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, needed))
    here(source)


SIDE_BYTES = 8 * 8 * 3 * 4


def test_settings_that_cannot_be_leave_nothing(here):
    with pytest.raises(ConfigError, match="regularisation"):
        here(Generated(), config={"zca_reg": -1.0})
    assert left(here.store) == []


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    """Ten times the images, 110 MB more of them as they are written, in the same memory to 25 MB."""
    peaks = []
    for count in (4_000, 40_000):
        source, pieces = {"train": count, "side": 16}, [2**16, 2**20]
        code, found = finish(tmp_path / str(count), save_every=1e9, source=source, pieces=pieces)
        assert code == 0, found
        peaks.append(found["peak"])
    assert 36_000 * 16 * 16 * 3 * 4 > 100e6
    assert peaks[1] - peaks[0] < 25e6
