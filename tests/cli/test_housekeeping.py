"""rm and gc as a user types them: asked for, whole, and never outside the store."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from rcig_cli.runs.housekeeping import housekeeping
from rcig_cli.store.layout import open_store
from rcig_cli.store.locks import RunLock
from tests.cli.test_errors import one_sentence
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "store" / "golden" / "format_1_sealed"


@pytest.fixture
def store(tmp_path):
    return shutil.copytree(GOLDEN, tmp_path / "a")


@pytest.fixture
def outside(tmp_path):
    """A folder outside the store that nothing may touch."""
    folder = tmp_path / "outside"
    (folder / "checkpoints" / "3").mkdir(parents=True)
    (folder / ".aside-0123456789abcdef").mkdir()
    (folder / "thesis.tex").write_text("thesis")
    shutil.copy(GOLDEN / "runs" / "run_1" / "manifest.json", folder)
    return folder


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def terminal(monkeypatch):
    """Answer what is asked, as at a terminal."""

    def answer(text):
        import io

        class Keyboard(io.StringIO):
            def isatty(self):
                return True

        monkeypatch.setattr("sys.stdin", Keyboard(text))

    return answer


def test_a_run_goes_after_asking_and_with_its_size(rcig, store, terminal):
    terminal("y\n")
    size = sum(path.stat().st_size for path in (store / "runs" / "run_2").rglob("*") if path.is_file())
    outcome = rcig("rm", "run_2", "--store", store)
    assert outcome.code == 0, outcome.err
    assert f"run_2: a run of {size / 1000:.2g} kB" in outcome.err
    assert "removed run_2" in outcome.out
    assert not (store / "runs" / "run_2").exists()
    assert rcig("verify", "--store", store, "--json").json["problems"] == []
    assert not list(store.rglob(".aside-*"))


def test_without_a_yes_nothing_goes(rcig, store, terminal):
    before = contents(store)
    terminal("n\n")
    outcome = rcig("rm", "run_2", "--store", store)
    assert (outcome.code, outcome.out) == (1, "")
    assert "Nothing was removed." in outcome.err
    terminal("n\n")
    assert rcig("gc", "--store", with_garbage(store)).code == 1
    for added in (".aside-00", "checkpoints/5"):
        shutil.rmtree(store / "runs" / "run_1" / added)
    (store / "runs" / "run_1" / "checkpoints").rmdir()
    assert contents(store) == before


@pytest.mark.parametrize("command", [("rm", "run_2"), ("gc",)])
def test_without_a_terminal_it_wants_yes(rcig, store, command):
    with_garbage(store)
    before = contents(store)
    outcome = rcig(*command, "--store", store)
    assert outcome.code == 2
    assert "add --yes" in outcome.err
    assert contents(store) == before
    assert rcig(*command, "--yes", "--store", store).code == 0
    assert contents(store) != before


def test_what_was_removed_as_json(rcig, store):
    outcome = rcig("rm", "sweep_1", "handed", "handed", "--yes", "--json", "--store", store)
    removed = outcome.json["removed"]
    assert [(one["name"], one["kind"]) for one in removed] == [("sweep_1", "sweep"), ("handed", "run")]
    assert outcome.json["bytes"] == sum(one["bytes"] for one in removed) > 0
    assert open_store(store, create=False).runs().problems == ()
    assert (store / "runs" / "run_6").is_dir()  # a sweep's runs stay


def test_a_data_set_that_runs_need_stays_unless_they_go_too(rcig, store):
    outcome = rcig("rm", "shapes", "--yes", "--store", store)
    one_sentence(outcome, 2, "needed by handed, run_1, run_2", "sweep_1", "--force")
    names = [path.name for path in (store / "runs").iterdir()]
    outcome = rcig("rm", "shapes", "sweep_1", *names, "--yes", "--json", "--store", store)
    assert outcome.json["removed"][-1]["name"] == "shapes"  # last, so that no run is ever without it
    assert contents(store).keys() == {"store.json", "datasets", "runs", "sweeps"}


def test_a_data_set_goes_by_force_and_its_runs_say_so(rcig, store):
    outcome = rcig("rm", "shapes", "--yes", "--force", "--store", store)
    assert "Needed by handed, run_1" in outcome.err
    verified = rcig("verify", "run_1", "--json", "--store", store).json
    assert verified["ok"]
    assert "was made from shapes, which isn't in this store" in verified["notes"][0]["note"]


def test_a_run_that_is_being_written_stays(rcig, store):
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
    [
        ("..", 2),
        ("../outside", 2),
        ("/etc", 2),
        ("runs/../../outside", 2),
        ("runs/..", 2),
        ("runs", 3),
        ("a\0b", 2),
        ("x" * 10_000, 2),
        ("run_1/checkpoints", 2),
        (".", 2),
        ("", 2),
        ("run_9", 3),
        ("ｒun_1", 2),
    ],
)
def test_no_name_leads_outside(rcig, store, outside, name, code):
    before = contents(store.parent)
    one_sentence(rcig("rm", name, "--yes", "--force", "--store", store), code)
    assert contents(store.parent) == before


def test_a_link_goes_as_a_link(rcig, store, outside):
    kept = contents(outside)
    for place, name in (("runs", "run_9"), ("datasets", "far"), ("sweeps", "sweep_9")):
        (store / place / name).symlink_to(outside)
        assert rcig("rm", name, "--yes", "--store", store).code == 0
        assert not os.path.lexists(store / place / name)
    (store / "runs" / "run_8").symlink_to(store / "nowhere")
    assert rcig("rm", "run_8", "--yes", "--store", store).code == 0
    (store / "runs" / "run_2" / "distilled.zarr" / "out").symlink_to(outside)
    assert rcig("rm", "run_2", "--yes", "--store", store).code == 0
    assert contents(outside) == kept


def test_a_place_that_is_a_link_is_left_alone(rcig, store, tmp_path):
    (store / "runs").rename(tmp_path / "elsewhere")
    (store / "runs").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / ".aside-0123456789abcdef").mkdir()
    before = contents(tmp_path / "elsewhere")
    one_sentence(rcig("rm", "run_2", "--yes", "--store", store), 2, "is a link")
    assert rcig("gc", "--yes", "--store", store).code == 0
    assert contents(tmp_path / "elsewhere") == before


def test_a_lock_that_is_a_link_is_not_written_through(rcig, store, outside):
    kept = contents(outside)
    (store / "runs" / "run_2" / "lock").unlink()
    (store / "runs" / "run_2" / "lock").symlink_to(outside / "thesis.tex")
    assert rcig("rm", "run_2", "--yes", "--store", store).code == 1
    (store / "runs" / "run_3" / "lock").unlink()
    (store / "runs" / "run_3" / "lock").symlink_to(outside / "new")
    assert rcig("rm", "run_3", "--yes", "--store", store).code == 1
    assert contents(outside) == kept


def test_two_of_one_name_have_to_be_told_apart(rcig, store):
    shutil.copytree(store / "runs" / "handed", store / "datasets" / "handed")
    one_sentence(rcig("rm", "handed", "--yes", "--store", store), 2, "datasets/handed or runs/handed")
    assert rcig("rm", "datasets/handed", "--yes", "--store", store).code == 0
    assert (store / "runs" / "handed").is_dir()
    assert not (store / "datasets" / "handed").exists()


KILLED_WHILE_REMOVING = """
import os, signal, sys
from pathlib import Path
from rcig_cli.runs.housekeeping import housekeeping
from rcig_cli.store import asides, files
from rcig_cli.store.layout import open_store
def die(path): os.kill(os.getpid(), signal.SIGKILL)
files.remove_quietly = die
store = open_store(Path(sys.argv[1]), create=False)
housekeeping.remove(housekeeping.plan_removal(store, ["run_2"])[0])
"""


def test_a_kill_in_the_middle_leaves_nothing_half(rcig, store):
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_REMOVING, store], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    verified = rcig("verify", "--json", "--store", store).json
    assert verified["ok"]
    (orphan,) = verified["orphans"]
    assert orphan["path"].startswith("runs/.aside-")
    assert "run_2" not in [run["run"] for run in rcig("list", "--json", "--store", store).json["runs"]]
    outcome = rcig("gc", "--yes", "--json", "--store", store)
    assert [one["path"] for one in outcome.json["removed"]] == [orphan["path"]]
    assert rcig("verify", "--json", "--store", store).json["orphans"] == []


def with_garbage(store):
    """What gc removes: a dead aside, and a checkpoint of a finished run."""
    run = store / "runs" / "run_1"
    (run / ".aside-00").mkdir()
    (run / ".aside-00" / "half").write_bytes(b"1234567890")
    (run / "checkpoints").mkdir()
    checkpoint = next((store / "runs" / "run_3" / "checkpoints").iterdir())
    shutil.copytree(checkpoint, run / "checkpoints" / "5")
    return store


def test_gc_removes_what_nobody_needs_and_nothing_else(rcig, store):
    (store / "runs" / "run_1" / "notes.txt").write_text("mine")
    (store / "runs" / "run_1" / "figures" / "mine.png").write_text("mine")
    before = contents(store)
    with_garbage(store)
    outcome = rcig("gc", "--dry-run", "--json", "--store", store)
    listed = outcome.json["removed"]
    assert outcome.json["dry_run"] is True
    assert [one["path"] for one in listed] == ["runs/run_1/.aside-00", "runs/run_1/checkpoints/5"]
    assert listed[0]["bytes"] == 10
    assert (store / "runs" / "run_1" / "checkpoints" / "5").is_dir()
    done = rcig("gc", "--yes", "--json", "--store", store).json
    assert done == {**outcome.json, "dry_run": False}
    (store / "runs" / "run_1" / "checkpoints").rmdir()
    assert contents(store) == before
    again = rcig("gc", "--json", "--store", store)  # with nothing to ask about
    assert (again.code, again.json["removed"]) == (0, [])


def test_gc_removes_a_stopped_preparation_only_when_told(rcig, store):
    for name in ("stopped", "going"):
        (store / "datasets" / f".partial-{name}" / "content").mkdir(parents=True)
    verified = rcig("verify", "--json", "--store", store).json
    assert (verified["ok"], verified["orphans"]) == (True, [])
    assert [one["path"] for one in verified["notes"]][:2] == [
        "datasets/.partial-going",
        "datasets/.partial-stopped",
    ]
    assert rcig("gc", "--yes", "--json", "--store", store).json["removed"] == []
    with RunLock(store / "datasets" / ".partial-going"):
        outcome = rcig("gc", "--preparations", "--yes", "--json", "--store", store)
    assert [one["path"] for one in outcome.json["removed"]] == ["datasets/.partial-stopped"]
    assert (store / "datasets" / ".partial-going").is_dir()


def test_gc_leaves_what_is_being_written(rcig, store):
    with_garbage(store)
    descriptor = os.open(store / "runs" / "run_1" / ".aside-00", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with RunLock(store / "runs" / "run_1"):
        outcome = rcig("gc", "--yes", "--json", "--store", store)
    assert outcome.json["removed"] == []
    assert "run_1 is being written" in outcome.err
    assert (store / "runs" / "run_1" / "checkpoints" / "5").is_dir()
    assert (store / "runs" / "run_1" / ".aside-00" / "half").is_file()
    os.close(descriptor)


def test_gc_keeps_the_only_copy_of_what_was_being_replaced(rcig, store, monkeypatch):
    run = store / "runs" / "run_1"
    lost = run / ".replaced-distilled.zarr-0123456789abcdef"
    (run / "distilled.zarr").rename(lost)
    shutil.copytree(run / "snapshots.zarr", run / ".replaced-snapshots.zarr-0123456789abcdef")
    now = time.time()
    monkeypatch.setattr("rcig_cli.store.leftovers.time.time", lambda: now + 100)
    outcome = rcig("gc", "--yes", "--json", "--store", store)
    assert [one["path"] for one in outcome.json["removed"]] == [
        "runs/run_1/.replaced-snapshots.zarr-0123456789abcdef"
    ]
    assert lost.is_dir()


def test_gc_follows_no_link(rcig, store, outside):
    kept = contents(outside)
    (store / "runs" / "run_9").symlink_to(outside)
    (store / "runs" / ".aside-00").symlink_to(outside)
    (store / "runs" / "run_1" / "checkpoints").symlink_to(outside / "checkpoints")
    (store / "runs" / "run_2" / "checkpoints").mkdir()
    (store / "runs" / "run_2" / "checkpoints" / "3").symlink_to(outside / "checkpoints" / "3")
    outcome = rcig("gc", "--yes", "--json", "--store", store)
    assert [one["path"] for one in outcome.json["removed"]] == ["runs/.aside-00"]
    assert not os.path.lexists(store / "runs" / ".aside-00")
    assert contents(outside) == kept


def test_what_cannot_be_removed_is_said(store, monkeypatch):
    from rcig_cli.errors import RcigError
    from rcig_cli.store import files

    artifacts = open_store(store, create=False)
    monkeypatch.setattr(files, "remove_quietly", lambda _: None)
    (doomed,) = housekeeping.plan_removal(artifacts, ["run_2"])
    with pytest.raises(
        RcigError, match=r"run_2 is no longer in the store, but not all of its files .*rcig gc"
    ):
        housekeeping.remove(doomed)


def test_verify_in_words_and_by_its_exit_code(rcig, store):
    sound = rcig("verify", "--store", store)
    assert sound.code == 0
    assert sound.out.endswith("272 files checked, all as it was written\n")
    manifest = store / "runs" / "run_1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"seed": 0', '"seed": 1'))
    damaged = rcig("verify", "--store", store)
    assert damaged.code == 5
    assert "damaged: runs/run_1/manifest.json has changed since it was written\n" in damaged.out
    assert damaged.out.endswith("1 problem found\n")
    as_json = rcig("verify", "run_1", "--quick", "--json", "--store", store)
    assert as_json.code == 5
    assert as_json.json["ok"] is False
    assert as_json.json["problems"] == [
        {"path": "runs/run_1/manifest.json", "problem": "has changed since it was written"}
    ]
    assert rcig("verify", "run_2", "--store", store).code == 0
    one_sentence(rcig("verify", "run_99", "--store", store), 3, "no run 'run_99'")
    one_sentence(rcig("verify", "--store", store / "nowhere"), 3, "There is no store")


def test_verify_names_the_stores_own_document(rcig, store):
    (store / "store.json").write_text('{\n  "format": 1\n}')
    outcome = rcig("verify", "--json", "--store", store)
    assert outcome.code == 5
    assert outcome.json["problems"] == [{"path": "store.json", "problem": "isn't written as rcig writes it"}]
    (store / "store.json").write_text(json.dumps({"format": 9}))
    assert rcig("verify", "--json", "--store", store).code == 5


def test_keeping_house_needs_no_heavy_import():
    code = (
        "import sys; from rcig_cli.cli.app import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print({'jax', 'zarr', 'orbax', 'numpy'} & set(sys.modules))"
    )
    for command in (("verify",), ("gc", "--dry-run")):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--store", GOLDEN],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.stdout.endswith("set()\n"), done.stderr
