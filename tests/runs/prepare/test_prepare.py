"""Preparing a data set: resumed to the same bytes, in bounded memory, on any number of threads.

Processes that are really killed are in tests/slow/runs/prepare.
"""

import json
import os
import shutil
import signal
import threading
import time
from collections import namedtuple

import numpy as np
import pytest

import rcig_cli as rcig
from rcig_cli.errors import ConfigError, Corrupt, Interrupted, Locked, RcigError
from rcig_cli.runs.prepare import passes
from rcig_cli.runs.prepare import prepare as job
from rcig_cli.store import arrays
from rcig_cli.store.store import open_store
from tests.data.examples import fit, natural_images, save_picture
from tests.runs.prepare.prepare_child import Generated, Silent, small_pieces
from tests.runs.prepare.test_parallel import ended


def product(store, name="generated"):
    """Every file of the arrays, and the manifest without its time."""
    folder = store / "datasets" / name
    arrays = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    manifest = json.loads(arrays.pop("manifest.json"))
    assert manifest["files"].keys() == arrays.keys()
    del manifest["created"], manifest["sha256"]  # the seal covers the time too
    return arrays, manifest


def left(store):
    """Names of unfinished preparations and temporary folders."""
    return [path.name for path in (store / "datasets").iterdir() if path.name.startswith(".")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Prepare a generated source in this process: ``here(source, ...) -> (data set, what was reported)``."""
    small_pieces(monkeypatch)
    monkeypatch.setattr(passes, "SAVING_SHARE", 1e9)
    store = open_store(tmp_path / "a", create=True)

    def run(source, report=None, save_every=0.0, **options):
        monkeypatch.setattr(job, "open_source", lambda *_, **__: source)
        monkeypatch.setattr(passes, "SAVE_EVERY", save_every)
        report = report or Silent()
        return job.prepare(store, "generated", report=report, **options), report.told

    run.store = store.root
    return run


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_pieces(monkeypatch)
        monkeypatch.setattr(job, "open_source", lambda *_, **__: Generated())
        store = open_store(tmp_path_factory.mktemp("uninterrupted") / "a", create=True)
        job.prepare(store, "generated", report=Silent())
    assert left(store.root) == []
    return product(store.root)


def stopping(count, number=signal.SIGINT):
    """A report that sends this process a signal at the count-th progress."""
    report = Silent()
    report.on_progress = lambda so_far: so_far == count and os.kill(os.getpid(), number)
    return report


@pytest.mark.parametrize("workers", [1, 3])
def test_the_number_of_workers_does_not_change_the_bytes(here, uninterrupted, workers, monkeypatch):
    monkeypatch.setattr(passes, "processors", lambda: workers)
    here(Generated(), save_every=1e9)
    assert product(here.store) == uninterrupted


@pytest.mark.parametrize("settings", [{"zca": False}, {}, {"few": True}], ids=str)
def test_images_labels_and_whitening_are_those_of_the_source(here, settings):
    few = settings.pop("few", False)
    source = Generated(train=60) if few else Generated()
    prepared, _ = here(source, **settings)
    # What a source generates depends on the size of its batches: 100 are measured, 64 written at a time.
    measured = np.concatenate([batch.images for batch in source.batches("train", 100)])
    due = fit(measured, zca=settings.get("zca", True))
    whitening = prepared.whitening()
    assert whitening.arrays().keys() == due.arrays().keys()
    assert ("basis" in due.arrays()) == few
    assert all((whitening.arrays()[name] == array).all() for name, array in due.arrays().items())
    for split in ("train", "test"):
        batches = list(source.batches(split, 64))
        images, labels = (
            np.concatenate([getattr(each, part) for each in batches]) for part in ("images", "labels")
        )
        found, found_labels = prepared.split(split)
        np.testing.assert_array_equal(found_labels, labels)
        np.testing.assert_allclose(found, due.apply(images), atol=1e-4)
        assert (whitening.pixels(found) == images).all()
    assert (prepared.name, prepared.classes, prepared.shape) == ("generated", 4, (8, 8, 3))
    assert prepared.sizes == source.sizes
    assert prepared.whitened == settings.get("zca", True)


def test_images_that_are_almost_black_are_refused_also_after_an_interruption(here, monkeypatch):
    source = Generated()
    monkeypatch.setattr(source, "images", lambda numbers, _: np.full((len(numbers), 8, 8, 3), 15, np.uint8))
    with pytest.raises(ConfigError, match=r"above 15.* --range 0,15"):
        here(source)
    with monkeypatch.context() as patched:
        patched.setattr(source, "images", lambda numbers, _: np.full((len(numbers), 8, 8, 3), 255, np.uint8))
        with pytest.raises(ConfigError, match="one colour only"):
            here(source)
    # The bright images come first: they are measured before the interruption.
    bright_then_dark = Generated()
    monkeypatch.setattr(
        bright_then_dark,
        "images",
        lambda numbers, _: np.full((len(numbers), 8, 8, 3), 200 if numbers[0] < 100 else 9, np.uint8),
    )
    bright_then_dark.fail_at = 700
    with pytest.raises(Corrupt):
        here(bright_then_dark)
    bright_then_dark.fail_at = None
    assert here(bright_then_dark)[0].sizes == bright_then_dark.sizes


def test_both_passes_report_progress_to_the_end(here):
    _, told = here(Generated())
    for label, total in (("measuring", 900), ("writing", 1050)):
        shown = [entry[1:] for entry in told if entry[0] == label]
        assert [done for done, _ in shown] == sorted(done for done, _ in shown)
        assert shown[0] == (0, total)
        assert shown[-1] == (total, total)


def test_a_stopped_preparation_is_resumed_where_it_was(here, uninterrupted):
    with pytest.raises(
        Interrupted, match=r"Stopped preparing generated at image 400 of 900, measuring.*resume"
    ):
        here(Generated(), stopping(5), save_every=1e9)
    with pytest.raises(Interrupted, match=r"of 1050, writing") as stopped:
        here(Generated(), stopping(20, signal.SIGTERM), save_every=1e9)
    assert stopped.value.exit_code == 143
    source = Generated()
    _, told = here(source)
    assert any(entry.startswith("Resuming at image") for entry in told if isinstance(entry, str))
    assert source.read <= 1050  # nothing is measured again
    assert product(here.store) == uninterrupted
    assert left(here.store) == []


def test_few_images_are_resumed_too(here, tmp_path):
    here(Generated(train=150))
    due = product(here.store)
    shutil.rmtree(here.store / "datasets")
    with pytest.raises(Interrupted, match="measuring"):
        here(Generated(train=150), stopping(2))
    here(Generated(train=150))
    assert product(here.store) == due


def test_a_signal_during_the_whitening_stops_at_once(here, uninterrupted, monkeypatch):
    go, whole = threading.Event(), passes.fit_to
    monkeypatch.setattr(passes, "_TAKES_LONG", 100)

    def fit_to(*arguments, **keywords):
        if not go.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
        return go.wait(60) and whole(*arguments, **keywords)

    monkeypatch.setattr(passes, "fit_to", fit_to)
    report = Silent()
    began = time.monotonic()
    with pytest.raises(Interrupted, match="at image 900 of 900"):
        here(Generated(), report)
    assert time.monotonic() - began < 40  # it doesn't wait for the whitening
    assert "Computing the whitening from a 192 x 192 matrix; this takes minutes." in report.told
    go.set()
    _, told = here(Generated())
    assert told[0] == "Resuming at image 900, measuring."
    assert product(here.store) == uninterrupted


@pytest.mark.parametrize(
    ("change", "said"), [({"zca_reg": 0.2}, "changed"), ({"train": 251}, "changed"), ({}, "damaged")], ids=str
)
def test_other_settings_or_data_or_damage_start_over(here, change, said):
    with pytest.raises(Interrupted):
        here(Generated(250, 40), stopping(8), save_every=1e9)
    if not change:
        file = here.store / "datasets/.partial-generated/state.npz"
        file.write_bytes(file.read_bytes()[:-100])
    settings = dict(change)
    source = Generated(settings.pop("train", 250), 40)
    _, told = here(source, save_every=1e9, **settings)
    assert said in told[0]
    assert told[1] == ("measuring", 0, source.sizes["train"])
    resumed = product(here.store)
    here(source, save_every=1e9, overwrite=True, **settings)
    assert product(here.store) == resumed
    assert left(here.store) == []


def test_a_source_that_fails_leaves_nothing(here):
    before = set(threading.enumerate())
    with pytest.raises(Corrupt, match="Image 500 is damaged"):
        here(Generated(fail_at=500))
    assert ended(before)
    assert left(here.store) == []


def test_a_full_disk_is_resumed_after(here, uninterrupted, monkeypatch):
    whole, before = arrays._Column._flush, set(threading.enumerate())

    def full(column, end):
        if column.name == "train/images" and column.done >= 300:
            raise OSError(28, "No space left on device")
        whole(column, end)

    with monkeypatch.context() as patched:
        patched.setattr(arrays._Column, "_flush", full)
        with pytest.raises(RcigError, match="The disk is full"):
            here(Generated())
    assert ended(before)
    source = Generated()
    here(source)
    assert product(here.store) == uninterrupted
    assert source.read < 900 + 150 + 300


def test_without_room_it_does_not_begin(here, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 700_000))
    source = Generated()
    # Images, labels, two matrices and the products, uncompressed, and a hundredth more.
    dimension = 8 * 8 * 3
    arrays = dimension * 4 * 1050 + 4 * 1050 + 2 * 4 * dimension**2 + 4 * dimension + 24
    needed = int(arrays * 1.01) + 8 * dimension**2
    with pytest.raises(RcigError, match=r"needs up to 1.4 MB of disk space, but only 700 kB is free"):
        here(source)
    assert source.read == 0
    assert left(here.store) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, needed))
    here(source)


def test_a_second_preparation_of_the_name_is_refused_or_waits(here):
    reached, go = threading.Event(), threading.Event()
    slow, told = Silent(), []
    slow.on_progress = lambda count: count == 3 and (reached.set(), go.wait(20))
    thread = threading.Thread(target=lambda: told.append(here(Generated(), slow)))
    thread.start()
    reached.wait(20)
    with pytest.raises(Locked, match=r"generated is being written by process"):
        here(Generated())
    waiting = Silent()
    waiting.note = lambda sentence: (waiting.told.append(sentence), go.set())
    prepared, told = here(Generated(), waiting, wait=True)
    thread.join()
    assert "Waiting" in told[0]
    assert "generated is already prepared" in told[-1]
    assert prepared.sizes["train"] == 900
    assert left(here.store) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"zca_reg": -1.0}, "zca_reg must be a number above 0, not -1.0"),
        ({"chunk": 2}, "chunk requires subset"),
        ({"resolution": 2}, "resolution must be a whole number from 4 to 1024"),
        ({"zcareg": 1.0}, "did you mean zca_reg"),
    ],
)
def test_settings_that_cannot_be_are_refused_first(here, settings, message):
    source = Generated()
    with pytest.raises(ConfigError, match=message):
        here(source, **settings)
    assert not (here.store / "datasets").exists()


def test_prepared_with_other_settings_is_refused(here):
    here(Generated(60, 10), save_every=1e9)
    with pytest.raises(
        ConfigError, match=r"already prepared with other settings \(zca_reg: 0.1 before, 0.2 now\)"
    ):
        here(Generated(), zca_reg=0.2)


def test_the_regularization_of_a_whitening_that_is_left_out_is_refused(here):
    with pytest.raises(ConfigError, match="these images are not whitened"):
        here(Generated(60, 10), zca=False, zca_reg=0.2)
    assert left(here.store) == []


def test_where_a_data_set_can_not_be_replaced_the_old_one_stays_until_it_is_removed(
    here, uninterrupted, monkeypatch
):
    here(Generated(60, 10), save_every=1e9)
    old = product(here.store)

    def refuse(*_):
        raise RcigError("This file system can't exchange two folders.")

    with monkeypatch.context() as patched:
        patched.setattr("rcig_cli.store.files._exchange", refuse)
        with pytest.raises(RcigError, match="can't exchange"):
            here(Generated(), overwrite=True)
    assert product(here.store) == old
    shutil.rmtree(here.store / "datasets" / "generated")
    source = Generated()
    here(source, overwrite=True)
    assert source.read == 0
    assert product(here.store) == uninterrupted


def test_a_few_photographs_are_whitened_with_as_many_directions_as_there_are_images(tmp_path):
    """A dense whitening would be a matrix of 12 288 x 12 288 numbers, and take half an hour."""
    images = natural_images(24, 64, 3)
    for number, image in enumerate(images):
        save_picture(tmp_path / "photos" / ("rose", "tulip")[number % 2] / f"{number}.png", image)
    dataset = rcig.prepare("photos", tmp_path / "photos", store=tmp_path / "a")
    training, _ = dataset.split("train")
    assert dataset.whitening().basis.shape == (12_288, len(training))
    assert {each.tobytes() for each in dataset.pixels(training)} < {each.tobytes() for each in images}
