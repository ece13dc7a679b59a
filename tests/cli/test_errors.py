"""Bad input ends in one or two lines of message and the documented exit code, and damages nothing."""

import errno
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from rcig_cli.store import files
from rcig_cli.store.records import write_manifest
from rcig_cli.store.store import open_store


def one_sentence(outcome, code, *said):
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    lines = outcome.err.strip().splitlines()
    assert len(lines) <= 2
    assert lines[0].startswith("rcig: ")
    assert "Traceback" not in outcome.err
    for words in said:
        assert words in outcome.err


def npz(path, **changes):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    labels = np.arange(40) % 4
    arrays = {"x_train": images, "y_train": labels, "x_test": images[:8], "y_test": labels[:8], **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("prepare", "minst"), 3, "Did you mean mnist?"),
        (("prepare", "../etc"), 2, "'../etc'"),
        (("prepare", "birds", "--from", "/no/such/folder"), 3, "/no/such/folder"),
        (("prepare", "--from", "birds"), 2, "rcig prepare NAME --from birds"),
        (("distill",), 2, "--ipc 1"),
        (
            ("distill", "--ipc", "0"),
            2,
            "ipc must be a whole number of 1 or more, or one for each class",
        ),
        (
            ("distill", "--ipc", "5000"),
            2,
            "50000 images, but a distilled set of digits may have 1437",
        ),
        (("distill", "--ipc", "many"), 2, "ipc must be a whole number of 1 or more, or one for each class"),
        (("distill", "--ipc", "1", "--ipc", "3=many"), 2, "not {'default': 1, '3': 'many'}"),
        (("distill", "--ipc", "3=5"), 2, "ipc has no number for '0', '1', '2', '4', '5' and 4 more: add"),
        (("distill", "--ipc", "1", "--ipc", "ten=5"), 2, "there is no class 'ten'; the classes are '0'"),
        (("distill", "cifar10", "--ipc", "1"), 3, "rcig prepare cifar10"),
        (("distill", "--ipc", "1", "--solver", "newton"), 2, "adam, cg"),
        (("distill", "no-such-set", "--ipc", "1", "--norm", "batsh"), 2, "did you mean batch?"),
        (("distill", "--config", "/no/such/file"), 3, "/no/such/file"),
        (("distill", "--ipc", "1", "--widht", "3"), 2, "--widht"),
        (("distill", "--ipc", "1", "--seed", "-1"), 2, "seed"),
        (("distill", "--ipc", "1", "--algorithm", "kipp"), 2, "rcig, cig, vig, frepo"),
        (("distill", "--ipc", "1", "--algorithm", "vig", "--solver", "cg"), 2, "solver of vig must be adam"),
        (("distill", "--resume", "run_9"), 3, "run_9"),
        (("evaluate", "run_9"), 3, "run_9"),
        (("evaluate", "../run_1"), 2, "run"),
        (("visualize", "run_9"), 3, "run_9"),
        (("show", "nothing"), 3, "nothing"),
        (("show", "no such"), 2, "'no such' is not a valid name"),
        (("frobnicate",), 2, "frobnicate"),
        (("evaluate",), 2, "RUN"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_is_refused(rcig, digits_run, arguments, code, said):
    store = () if arguments[0] == "frobnicate" else ("--store", digits_run)
    one_sentence(rcig(*arguments, *store), code, said)
    assert [path.name for path in (digits_run / "runs").iterdir()] == ["run_1"]


def test_with_json_an_error_is_an_object_on_stdout(rcig, digits_run):
    outcome = rcig("evaluate", "run_9", "--json", "--store", digits_run)
    assert outcome.json["error"]["code"] == outcome.code == 3
    assert "run_9" in outcome.json["error"]["message"]


def test_with_several_data_sets_one_must_be_named(rcig, tmp_path):
    rcig("prepare", "mine", "--from", npz(tmp_path / "mine.npz"), "--store", tmp_path / "a")
    rcig("prepare", "digits", "--store", tmp_path / "a")
    one_sentence(rcig("distill", "--ipc", 1, "--store", tmp_path / "a"), 2, "digits, mine")


def test_a_data_set_that_is_prepared_from_elsewhere_is_not_replaced(rcig, tmp_path):
    path = npz(tmp_path / "mine.npz")
    rcig("prepare", "digits", "--store", tmp_path / "a")
    outcome = rcig("prepare", "digits", "--from", path, "--store", tmp_path / "a")
    one_sentence(outcome, 2, f"(--from: not given before, {path} now)", "--overwrite")


def test_an_unusable_file_is_refused(rcig, tmp_path):
    path = npz(tmp_path / "bad.npz", y_train=np.full(40, -1))
    one_sentence(rcig("prepare", "bad", "--from", path, "--store", tmp_path / "a"), 2, "label")
    path.write_bytes(path.read_bytes()[:-400])
    one_sentence(rcig("prepare", "bad", "--from", path, "--store", tmp_path / "a"), 5, "bad.npz")
    assert rcig("list", "--store", tmp_path / "a", "--json").json["datasets"] == []


def test_a_folder_that_is_no_store_is_refused_and_unchanged(rcig, tmp_path):
    (tmp_path / "letter.txt").write_text("dear all")
    one_sentence(rcig("list", "--store", tmp_path), 2, "isn't an rcig store")
    one_sentence(rcig("prepare", "digits", "--store", tmp_path), 2, "isn't an rcig store")
    assert (tmp_path / "letter.txt").read_text() == "dear all"


def test_a_store_of_a_newer_format_is_refused(rcig, tmp_path):
    (tmp_path / "store.json").write_text(json.dumps({"format": 2}))
    one_sentence(rcig("list", "--store", tmp_path), 5, "newer")


def test_a_damaged_distilled_set_is_named(rcig, digits_run, tmp_path):
    store = tmp_path / "copy"
    shutil.copytree(digits_run, store)
    files = [path for path in (store / "runs/run_1/distilled.zarr").rglob("*") if path.is_file()]
    shard = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(bytes(content))
    one_sentence(rcig("evaluate", "run_1", "--store", store), 5, "distilled.zarr")


def test_an_unfinished_run_is_not_drawn(rcig, digits_run, tmp_path):
    store = tmp_path / "copy"
    shutil.copytree(digits_run, store)
    run = open_store(store, create=False).run("run_1")
    write_manifest(store / "runs/run_1", replace(run, status="running"))
    one_sentence(rcig("visualize", "run_1", "--store", store), 3, "rcig distill --resume run_1")


def test_runs_need_their_data_set_as_it_was_prepared(rcig, tmp_path):
    assert rcig("distill", "--ipc", 1, "--algorithm", "random", "--store", tmp_path / "a").code == 0
    rcig("prepare", "digits", "--overwrite", "--store", tmp_path / "a")
    assert rcig("visualize", "run_1", "--store", tmp_path / "a").code == 0
    rcig("prepare", "digits", "--overwrite", "--resolution", 12, "--store", tmp_path / "a")
    one_sentence(rcig("evaluate", "run_1", "--store", tmp_path / "a"), 2, "prepared again")


def test_resuming_a_run_with_other_settings_is_refused(rcig, digits_run):
    outcome = rcig("distill", "--resume", "run_1", "--width", 8, "--store", digits_run)
    one_sentence(outcome, 2, "width: 8, not 4")


def test_resuming_a_finished_run_reports_it(rcig, digits_run):
    outcome = rcig("distill", "--resume", "run_1", "--store", digits_run, "--json")
    assert outcome.json["status"] == "finished"
    assert "run_1 is already finished" in outcome.err


def test_a_full_disk_is_reported_and_damages_nothing(rcig, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    rcig("prepare", "digits", "--store", tmp_path)
    monkeypatch.setattr(files.os, "fsync", full)
    one_sentence(rcig("prepare", "digits", "--overwrite", "--store", tmp_path), 1, "disk is full")
    monkeypatch.undo()
    assert rcig("list", "--store", tmp_path, "--json").json["datasets"][0]["train"] == 1437


def test_a_mistake_in_a_configuration_file_is_reported_before_a_missing_ipc(rcig, tmp_path):
    (tmp_path / "run.toml").write_text("widht = 16\n")
    outcome = rcig("distill", "--config", tmp_path / "run.toml", "--store", tmp_path / "a")
    assert outcome.code == 2
    assert "did you mean width" in outcome.err
