"""rcig rm, gc and verify as a user types them."""

import fcntl
import io
import os
import shutil
import signal
import subprocess
import sys
import tomllib

import pytest

from rcig_cli.errors import RcigError
from rcig_cli.runs.housekeeping import gc
from rcig_cli.store.documents import read_document, write_document
from rcig_cli.store.files import remove_folder
from rcig_cli.store.locks import RunLock
from tests.cli.test_errors import one_sentence
from tests.conftest import ROOT


@pytest.fixture
def store(example, tmp_path):
    """A copy of the example store, for a test to change."""
    return shutil.copytree(example, tmp_path / "a")


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def terminal(monkeypatch):
    """Answer a question as at a terminal."""

    class Keyboard(io.StringIO):
        def isatty(self):
            return True

    return lambda text: monkeypatch.setattr("sys.stdin", Keyboard(text))


def with_garbage(store):
    """Add what gc removes: an abandoned temporary folder, and with --checkpoints that of a finished run."""
    run = store / "runs" / "run_1"
    (run / ".tmp-00").mkdir()
    (run / ".tmp-00" / "half").write_bytes(b"1234567890")
    shutil.copytree(store / "runs/run_3/checkpoints/2", run / "checkpoints" / "2")
    return store


def test_a_run_is_removed_after_asking_and_with_its_size(rcig, store, terminal):
    terminal("y\n")
    size = sum(path.stat().st_size for path in (store / "runs" / "run_2").rglob("*") if path.is_file())
    outcome = rcig("rm", "run_2", "--store", store)
    assert outcome.code == 0, outcome.err
    assert f"run_2: a run of {size / 1000:.2g} kB" in outcome.err
    assert "removed run_2" in outcome.out
    assert not (store / "runs" / "run_2").exists()
    assert not list(store.rglob(".tmp-*"))


@pytest.mark.parametrize("command", [("rm", "run_2"), ("gc",)])
def test_nothing_is_removed_without_a_yes(rcig, store, terminal, command):
    before = contents(with_garbage(store))
    terminal("n\n")
    outcome = rcig(*command, "--store", store)
    assert (outcome.code, outcome.out) == (1, "")
    assert "Nothing was removed." in outcome.err
    assert contents(store) == before


@pytest.mark.parametrize("command", [("rm", "run_2"), ("gc",)])
def test_without_a_terminal_yes_is_required(rcig, store, command):
    before = contents(with_garbage(store))
    outcome = rcig(*command, "--store", store)
    assert (outcome.code, outcome.out) == (2, "")
    assert "rcig: There is no terminal for a confirmation: pass --yes" in outcome.err
    assert contents(store) == before
    assert rcig(*command, "--yes", "--store", store).code == 0
    assert contents(store) != before


def test_what_was_removed_as_json(rcig, store):
    outcome = rcig("rm", "sweep_1", "imported", "imported", "--yes", "--json", "--store", store)
    removed = outcome.json["removed"]
    assert [(one["name"], one["kind"]) for one in removed] == [("sweep_1", "sweep"), ("imported", "run")]
    assert outcome.json["bytes"] == sum(one["bytes"] for one in removed) > 0
    assert (store / "runs" / "run_6").is_dir()  # a sweep's runs are kept


def test_a_data_set_that_runs_need_is_kept_unless_they_are_removed_too(rcig, store):
    outcome = rcig("rm", "shapes", "--yes", "--store", store)
    one_sentence(
        outcome,
        2,
        "needed by imported, run_1, run_2",
        "sweep_1, sequence_1",
        "use --force to delete it anyway",
    )
    names = [path.name for path in (store / "runs").iterdir()]
    outcome = rcig("rm", "shapes", "sweep_1", "sequence_1", *names, "--yes", "--json", "--store", store)
    assert outcome.json["removed"][-1]["name"] == "shapes"  # last, so that no run is ever without it
    assert contents(store).keys() == {"store.json", "datasets", "runs", "sweeps", "sequences"}


def test_a_data_set_is_removed_by_force(rcig, store):
    outcome = rcig("rm", "shapes", "--yes", "--force", "--store", store)
    assert "Needed by imported, run_1" in outcome.err
    verified = rcig("verify", "run_1", "--json", "--store", store).json
    assert verified["ok"]
    assert "was made from shapes, which isn't in this store" in verified["notes"][0]["note"]
    shown = rcig("show", "run_1", "--store", store)
    assert shown.code == 0, shown.err
    assert shown.out.startswith("run_1: ")


def test_a_run_that_is_being_written_is_not_removed(rcig, store):
    before = contents(store)
    with RunLock(store / "runs" / "run_3"):
        one_sentence(rcig("rm", "run_2", "run_3", "--yes", "--store", store), 4, "run_3 is being written")
        one_sentence(rcig("rm", "shapes", "--force", "--yes", "--store", store), 4, "run_3 is being written")
    assert contents(store) == before


def test_a_damaged_run_can_be_removed(rcig, store):
    (store / "runs" / "run_2" / "manifest.json").write_text("{")
    assert rcig("rm", "run_2", "--yes", "--store", store).code == 0
    assert not (store / "runs" / "run_2").exists()


@pytest.mark.parametrize(
    ("name", "code"),
    [("..", 2), ("/etc", 2), ("runs/../../outside", 2), ("runs/..", 2), ("runs", 3), ("x" * 10_000, 2),
     ("run_1/checkpoints", 2), ("", 2), ("run_9", 3)],
)  # fmt: skip
def test_no_name_leads_outside(rcig, store, name, code):
    (store.parent / "outside").mkdir()
    before = contents(store.parent)
    one_sentence(rcig("rm", name, "--yes", "--force", "--store", store), code)
    assert contents(store.parent) == before


KILLED_WHILE_REMOVING = """
import os, signal, sys
from pathlib import Path
from rcig_cli.runs.housekeeping.remove import plan_removal, remove
from rcig_cli.store import files
from rcig_cli.store.store import open_store
files._remove_quietly = lambda path: path.is_dir() and os.kill(os.getpid(), signal.SIGKILL)
store = open_store(Path(sys.argv[1]), create=False)
remove(store, plan_removal(store, ["run_2"])[0])
"""


def test_a_kill_while_removing_leaves_only_a_temporary_folder(rcig, store):
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_REMOVING, store], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    verified = rcig("verify", "--json", "--store", store).json
    assert verified["ok"]
    (orphan,) = verified["orphans"]
    assert orphan["path"].startswith("runs/.tmp-")
    assert "run_2" not in [run["run"] for run in rcig("list", "--json", "--store", store).json["runs"]]
    outcome = rcig("gc", "--yes", "--json", "--store", store)
    assert [one["path"] for one in outcome.json["removed"]] == [orphan["path"]]
    assert rcig("verify", "--json", "--store", store).json["orphans"] == []


def test_gc_removes_what_is_not_needed_and_nothing_else(rcig, store):
    (store / "runs" / "run_1" / "notes.txt").write_text("mine")
    (store / "runs" / "run_1" / "figures" / "mine.png").write_text("mine")
    before = contents(store)
    with_garbage(store)
    kept = rcig("gc", "--dry-run", "--json", "--store", store)
    assert [one["path"] for one in kept.json["removed"]] == ["runs/run_1/.tmp-00"]
    outcome = rcig("gc", "--checkpoints", "--dry-run", "--json", "--store", store)
    listed = outcome.json["removed"]
    assert outcome.json["dry_run"] is True
    assert [one["path"] for one in listed] == ["runs/run_1/.tmp-00", "runs/run_1/checkpoints/2"]
    assert listed[0]["bytes"] == 10
    assert (store / "runs" / "run_1" / "checkpoints" / "2").is_dir()
    done = rcig("gc", "--checkpoints", "--yes", "--json", "--store", store).json
    assert done == {**outcome.json, "dry_run": False}
    (store / "runs" / "run_1" / "checkpoints").rmdir()
    assert {**contents(store), "runs/run_1/lock": b""} == before
    again = rcig("gc", "--json", "--store", store)  # nothing to ask about
    assert (again.code, again.json["removed"]) == (0, [])


def test_gc_removes_stopped_preparations_on_request_only(rcig, store):
    for name in ("stopped", "running"):
        (store / "datasets" / f".partial-{name}" / "content").mkdir(parents=True)
    verified = rcig("verify", "--json", "--store", store).json
    assert (verified["ok"], verified["orphans"]) == (True, [])
    notes = [one["path"] for one in verified["notes"]]
    assert notes[:2] == ["datasets/.partial-running", "datasets/.partial-stopped"]
    assert rcig("gc", "--yes", "--json", "--store", store).json["removed"] == []
    with RunLock(store / "datasets" / ".partial-running"):
        outcome = rcig("gc", "--preparations", "--yes", "--json", "--store", store)
    assert [one["path"] for one in outcome.json["removed"]] == ["datasets/.partial-stopped"]
    assert (store / "datasets" / ".partial-running").is_dir()


def test_gc_keeps_what_is_being_written(rcig, store):
    with_garbage(store)
    descriptor = os.open(store / "runs" / "run_1" / ".tmp-00", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with RunLock(store / "runs" / "run_1"):
        outcome = rcig("gc", "--checkpoints", "--yes", "--json", "--store", store)
    os.close(descriptor)
    assert outcome.json["removed"] == []
    assert "run_1 is being written" in outcome.err
    assert (store / "runs" / "run_1" / "checkpoints" / "2").is_dir()
    assert (store / "runs" / "run_1" / ".tmp-00" / "half").is_file()


def test_gc_keeps_what_cannot_be_removed_and_removes_the_rest(rcig, store, monkeypatch):
    with_garbage(store)
    shutil.copytree(store / "runs/run_3/checkpoints/2", store / "runs/run_2/checkpoints/2")

    def refuse(path):
        if "run_1" in path.parts:
            raise RcigError(f"{path} can't be written (permission denied).")
        remove_folder(path)

    monkeypatch.setattr(gc, "remove_folder", refuse)
    outcome = rcig("gc", "--checkpoints", "--yes", "--json", "--store", store)
    removed = [one["path"] for one in outcome.json["removed"]]
    assert removed == ["runs/run_1/.tmp-00", "runs/run_2/checkpoints/2"]
    assert "checkpoints/2 was kept: " in outcome.err
    assert outcome.code == 0


def test_verify_in_words_and_by_its_exit_code(rcig, store):
    sound = rcig("verify", "--store", store)
    assert sound.code == 0
    assert sound.out.endswith(" files checked, no damage found\n")
    manifest = store / "runs" / "run_1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 1', '"seed": 2'))
    damaged = rcig("verify", "--store", store)
    assert damaged.code == 5
    assert "damaged: runs/run_1/manifest.json has changed since it was written\n" in damaged.out
    assert damaged.out.endswith("1 problem found\n")
    as_json = rcig("verify", "run_1", "--quick", "--json", "--store", store)
    assert (as_json.code, as_json.json["ok"]) == (5, False)
    assert as_json.json["problems"] == [
        {"path": "runs/run_1/manifest.json", "problem": "has changed since it was written"}
    ]
    assert rcig("verify", "run_2", "--store", store).code == 0
    one_sentence(rcig("verify", "run_99", "--store", store), 3, "no run 'run_99'")
    one_sentence(rcig("verify", "--store", store / "nowhere"), 3, "There is no store")


def test_verify_counts_notes_with_the_same_text(rcig, store):
    shutil.rmtree(store / "datasets" / "shapes")
    notes = rcig("verify", "--json", "--store", store).json["notes"]
    alike = [one for one in notes if "isn't in this store" in one["note"]]
    lines = rcig("verify", "--store", store).out.splitlines()
    assert sum("isn't in this store" in line for line in lines) == 3
    assert f"note: {len(alike) - 3} more like this one (--json lists all)" in lines


def test_names_in_any_script_are_shown_as_they_are(rcig, store):
    manifest = store / "datasets/shapes/manifest.json"
    write_document(manifest, read_document(manifest) | {"class_names": ["Zürich", "東京"]})
    assert 'class_names: ["Zürich", "東京"]\n' in rcig("show", "shapes", "--store", store).out


def test_control_characters_from_a_data_set_do_not_reach_the_terminal(rcig, store):
    manifest = store / "datasets/shapes/manifest.json"
    write_document(
        manifest, read_document(manifest) | {"source": {"by": "\x1b]0;owned\x07 \u202egnp \ud800"}}
    )
    shown = rcig("show", "shapes", "--store", store)
    assert shown.code == 0
    assert "\\x1b]0;owned\\x07 \\u202egnp \\ud800" in shown.out


def test_an_imported_run_is_compared_by_its_data_set_and_size_only(rcig, store):
    found = rcig("compare", "run_1", "imported", "run_2", "--json", "--store", store).json["differences"]
    own = set(found) - {"dataset", "ipc"}
    assert own
    assert all(found[name][1] is None for name in own)
    lines = rcig("compare", "run_1", "imported", "--store", store).out.splitlines()
    assert lines[1].split() == ["imported", "from", "-", "set.npz"]
    assert "imported from" not in rcig("compare", "run_1", "run_2", "--store", store).out


def test_an_imported_run_is_shown_with_its_file_and_without_settings_that_were_not_used(rcig, store):
    used = {"dataset", "ipc", "parametrization", "width", "depth", "channels", "norm", "flip"}
    document = rcig("show", "imported", "--json", "--store", store).json
    assert set(document["config"]) == used
    assert document["imported_from"] == "set.npz"
    text = rcig("show", "imported", "--store", store).out
    assert "imported from set.npz\n" in text
    assert not [name for name in ("algorithm", "steps", "image_lr", "seed") if f"{name} " in text]
    toml = rcig("show", "imported", "--toml", "--store", store).out
    assert set(tomllib.loads(toml)) == used
    assert "imported from set.npz" in rcig("list", "--store", store).out


def test_housekeeping_needs_no_heavy_import(example):
    code = (
        "import sys; from rcig_cli.cli.app import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print({'jax', 'zarr', 'safetensors', 'numpy'} & set(sys.modules))"
    )
    for command in (("verify",), ("gc", "--dry-run")):
        arguments = [sys.executable, "-c", code, *command, "--store", example]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.endswith("set()\n"), done.stderr
