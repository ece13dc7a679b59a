"""Verify: whatever byte is damaged, the file is named; what is sound, or being written, is left in peace.

The store is the golden one: every kind of artifact, runs of every status and origin, as commands wrote them.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rcig_cli.runs.housekeeping.verify import store_at, verify
from rcig_cli.store.layout import open_store
from tests.conftest import ROOT, start_rcig
from tests.silent import Silent

GOLDEN = ROOT / "tests" / "store" / "golden" / "format_1_sealed"
SMALLEST = ["--depth", 1, "--width", 2, "--batch", 16, "--pool-size", 1, "--pool-steps", 3]
SMALLEST += ["--inner-steps", 2, "--hessian-steps", 2]
KILLED = "run_4"  # at step 4 of many, after a checkpoint at step 2


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the golden store that tests damage and mend."""
    return shutil.copytree(GOLDEN, tmp_path_factory.mktemp("golden") / "a")


@pytest.fixture
def store(tmp_path):
    return shutil.copytree(GOLDEN, tmp_path / "a")


def look_at(root, *names, quick=False):
    return verify(store_at(root), names, Silent(), quick=quick)


def paths(findings):
    return [one.path for one in findings]


def logged_bytes(root):
    """How much of the killed run's log its manifest vouches for."""
    return json.loads((root / "runs" / KILLED / "manifest.json").read_text())["log"]["bytes"]


def vouched(root):
    """Every file that something vouches for, with how many of its bytes, and the artifact it belongs to."""
    files = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    found = []
    for file in files:
        pieces = file.parts
        # Locks hold nothing; pictures can be drawn again; the killed run never came to vouch for these.
        free = file.name == "lock" or (pieces[0] == "runs" and "figures" in pieces)
        if free or pieces[:3] == ("runs", KILLED, "snapshots.zarr"):
            continue
        size = (root / file).stat().st_size
        if pieces[1:] == (KILLED, "metrics.jsonl"):
            size = logged_bytes(root)
        found.append((file, size, pieces[1] if len(pieces) > 1 else "run_1"))
    return found


def change(content, how, at, byte):
    """One byte turned into another, lost or added."""
    if how == "flipped":
        return content[:at] + bytes([content[at] ^ byte]) + content[at + 1 :]
    if how == "cut":
        return content[:at] + content[at + 1 :]
    return content[:at] + bytes([byte]) + content[at:]


def damaged(root, file, how, at, byte, names):
    """What verify says while a byte of a file is damaged."""
    content = (root / file).read_bytes()
    (root / file).write_bytes(change(content, how, at, byte))
    try:
        return look_at(root, *names)
    finally:
        (root / file).write_bytes(content)


FILES = vouched(GOLDEN)
ROUNDS = int(os.environ.get("RCIG_FLIP_ROUNDS", "1"))


def test_everything_in_the_store_is_looked_at_and_sound(copy):
    look = look_at(copy)
    assert look.problems == look.orphans == []
    assert {one.path for one in look.notes} == {
        f"runs/{KILLED}/metrics.jsonl",
        f"runs/{KILLED}/snapshots.zarr",
    }
    assert look.checked == len(FILES)
    kinds = {Path(*file.parts[2:3]).name for file, _, _ in FILES}
    assert kinds >= {
        "arrays.zarr",
        "distilled.zarr",
        "snapshots.zarr",
        "checkpoints",
        "evaluations",
        "attacks",
    }
    assert kinds >= {"timings", "table.json", "figures", "metrics.jsonl", "manifest.json"}
    runs = open_store(copy, create=False).runs().found
    assert {run.status for run in runs} == {"running", "interrupted", "finished", "failed"}
    assert {run.imported for run in runs} == {True, False}


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_anywhere_is_found_and_named(copy, data):
    file, size, _ = data.draw(st.sampled_from(FILES))
    how = data.draw(st.sampled_from(["flipped", "cut", "added"]))
    at = data.draw(st.integers(0, size - 1 + (how == "added" and (copy / file).stat().st_size == size)))
    byte = data.draw(st.integers(1, 255))
    look = damaged(copy, file, how, at, byte, ())
    assert paths(look.problems) == [file.as_posix()]


def test_every_file_is_vouched_for_against_every_kind_of_change(copy):
    """All files, each kind of change at some place; RCIG_FLIP_ROUNDS=20 takes twenty places for each."""
    places, tried = random.Random(0), 0
    for _ in range(ROUNDS):
        for file, size, name in FILES:
            for how in ("flipped", "cut", "added"):
                at, byte = places.choice((0, size - 1, places.randrange(size))), places.randint(1, 255)
                look = damaged(copy, file, how, at, byte, (name,))
                assert paths(look.problems) == [file.as_posix()], (file, how, at, byte)
                tried += 1
    print(f"{tried} bytes flipped, cut and added in {len(FILES)} files")
    assert tried == 3 * ROUNDS * len(FILES) > 750


def test_a_file_that_is_gone_is_named(copy):
    for file, _, _ in FILES[:: len(FILES) // 40]:
        if file.name == "store.json" or "evaluations" in file.parts or "timings" in file.parts:
            continue  # without the first it is no store; what isn't there any more nobody misses
        (copy / file).rename(copy.parent / "away")
        look = look_at(copy)
        (copy.parent / "away").rename(copy / file)
        assert paths(look.problems) == [file.as_posix()]
        assert "missing" in look.problems[0].problem


@pytest.mark.parametrize(
    "file",
    [
        "notes.txt",
        "datasets/shapes/notes.txt",
        "datasets/shapes/arrays.zarr/train/images/c/1/0/0/0",
        "datasets/notes.txt",
        "runs/run_1/notes.txt",
        "runs/run_1/distilled.zarr/more",
        "runs/run_3/checkpoints/latest",
        "runs/run_3/checkpoints/42/state/leaf_99999",
        "runs/run_1/evaluations/mine.json",
        "sweeps/sweep_1/figures/mine.png",
        "runs/run_1/.aside-0123456789abcdef",
        "runs/.aside-0123456789abcdef",
    ],
)
def test_what_nobody_vouches_for_is_an_orphan_and_no_damage(store, file):
    path = store / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    look = look_at(store)
    assert (paths(look.orphans), look.problems) == ([file], [])


def test_a_whole_folder_of_strangers_is_one_orphan(store):
    shutil.copytree(store / "runs" / "run_1", store / "runs" / "run_1" / "backup")
    shutil.copytree(store / "runs" / "run_1", store / "runs" / "A copy")
    assert paths(look_at(store).orphans) == ["runs/A copy", "runs/run_1/backup"]


def test_pictures_are_the_users_own(store):
    (store / "runs" / "run_1" / "figures" / "mine.png").write_text("a picture")
    look = look_at(store)
    assert look.orphans == look.problems == []


def test_a_name_that_no_terminal_should_see_is_written_out(store):
    (store / "runs" / "run_1" / "\x1b[2J\udcff").write_text("mine")
    assert paths(look_at(store).orphans) == ["'runs/run_1/\\x1b[2J\\udcff'"]


def test_links_are_named_and_not_followed(store, tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("secret")
    (store / "runs" / "run_1" / "figures" / "link").symlink_to(tmp_path / "secret")
    (store / "runs" / "run_3" / "checkpoints" / "7").symlink_to(tmp_path / "secret")
    os.mkfifo(store / "runs" / "run_1" / "figures" / "pipe")
    manifest = store / "runs" / "run_2" / "manifest.json"
    manifest.rename(tmp_path / "manifest.json")
    manifest.symlink_to(tmp_path / "manifest.json")
    look = look_at(store)
    assert paths(look.orphans) == [
        "runs/run_1/figures/link",
        "runs/run_1/figures/pipe",
        "runs/run_3/checkpoints/7",
    ]
    assert paths(look.problems) == ["runs/run_2/manifest.json"]


def test_a_pipe_in_place_of_a_manifest_is_not_waited_for(store):
    manifest = store / "runs" / "run_2" / "manifest.json"
    manifest.unlink()
    os.mkfifo(manifest)
    assert paths(look_at(store).problems) == ["runs/run_2/manifest.json"]


def test_a_quick_look_passes_over_the_content_of_large_files_only(store):
    large = store / "datasets" / "shapes" / "arrays.zarr" / "train" / "images" / "c" / "0" / "0" / "0" / "0"
    content = large.read_bytes()
    large.write_bytes(content + bytes(2**20))
    assert look_at(store, quick=True).problems == []
    assert paths(look_at(store).problems) == [large.relative_to(store).as_posix()]
    large.write_bytes(content + b"0")
    assert paths(look_at(store, quick=True).problems) == [large.relative_to(store).as_posix()]


def test_a_store_of_a_newer_format_is_not_looked_into(store):
    (store / "store.json").write_text('{\n  "format": 2\n}\n')
    (look,) = look_at(store).problems
    assert look.path == "store.json"
    assert "newer rcig (format 2)" in look.problem


@pytest.mark.parametrize(
    "file",
    [
        "datasets/shapes/manifest.json",
        "runs/run_1/manifest.json",
        "sweeps/sweep_1/manifest.json",
        "runs/run_3/checkpoints/42/manifest.json",
        "runs/run_1/evaluations",
        "runs/run_1/attacks",
        "runs/run_6/timings",
    ],
)
def test_a_document_of_a_newer_format_is_told_as_such(store, file):
    from rcig_cli.store.seals import sealed

    path = store / file if file.endswith("json") else next((store / file).iterdir())
    path.write_text(sealed({**json.loads(path.read_text()), "format": 2, "new": "field"}))
    look = look_at(store)
    assert paths(look.problems) == [path.relative_to(store).as_posix()]
    assert "newer rcig (format 2)" in look.problems[0].problem


def test_a_folder_lost_while_it_was_replaced_is_told_where_it_is(store):
    run = store / "runs" / "run_1" / "distilled.zarr"
    run.rename(run.with_name(".replaced-distilled.zarr-0123456789abcdef"))
    problems = look_at(store).problems
    assert any("stands whole as .replaced-distilled.zarr-0123456789abcdef" in one.problem for one in problems)


def test_a_data_set_prepared_otherwise_is_worth_a_note(store):
    shutil.rmtree(store / "datasets" / "shapes")
    look = look_at(store, "run_1")
    assert look.problems == []
    assert "was made from shapes, which isn't in this store" in look.notes[0].problem


OVERWRITE = """
import sys
from pathlib import Path
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.store.layout import open_store
class Silent:
    def note(self, sentence): pass
    def warn(self, sentence): pass
    def progress(self, *_): pass
store = open_store(Path(sys.argv[1]), create=True)
while True:
    for resolution in (None, 10):
        prepare(store, "digits", resolution=resolution, report=Silent(), overwrite=True)
        print("again", flush=True)
"""


def test_a_data_set_that_is_replaced_all_the_time_is_never_called_damaged(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", OVERWRITE, tmp_path / "a"], stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        process.stdout.readline()
        replaced, looks, ends = 1, 0, time.monotonic() + 5
        while time.monotonic() < ends:
            look = look_at(tmp_path / "a")
            assert look.problems == look.orphans == []
            looks += 1
        assert looks > 5
    finally:
        process.kill()
        replaced += process.communicate()[0].count(b"again")
    assert replaced > 3


def test_a_run_under_way_is_never_called_damaged_nor_one_that_is_stopped(tmp_path):
    root = tmp_path / "a"
    run = ["distill", "--ipc", 1, *SMALLEST, "--steps", 100_000, "--checkpoint-every", 1, "--store", root]
    process = start_rcig(*run)
    log, looks = root / "runs" / "run_1" / "metrics.jsonl", 0
    while process.poll() is None:
        if log.exists():
            look = look_at(root)
            assert look.problems == look.orphans == []
            looks += 1
            if looks == 15:
                process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    look = look_at(root)
    assert look.problems == look.orphans == look.notes == []
