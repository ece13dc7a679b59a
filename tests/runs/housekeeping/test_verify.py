"""Verify: a damaged byte in any file is found and its file named."""

import json
import random
import shutil
from pathlib import Path

import pytest

from rcig_cli.runs.housekeeping.verify import open_damaged, verify
from rcig_cli.store.documents import read_document, write_document
from tests.example_store import KILLED, make_example
from tests.silent import Silent


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return make_example(tmp_path_factory.mktemp("example") / "a")


@pytest.fixture
def store(example, tmp_path):
    """A copy of the example store, for a test to change."""
    return shutil.copytree(example, tmp_path / "a")


def check(root, *names, quick=False):
    return verify(open_damaged(root), names, Silent(), quick=quick)


def paths(findings):
    return [one.path for one in findings]


def recorded(root):
    """Every file with a recorded checksum, how many of its bytes have one, and its artifact."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        file = path.relative_to(root)
        if file.name in ("lock", "grid.png") or file.parts[:3] == ("runs", KILLED, "snapshots.zarr"):
            continue
        size = path.stat().st_size
        if file.parts[1:] == (KILLED, "metrics.jsonl"):
            size = json.loads((path.parent / "manifest.json").read_text())["log"]["bytes"]
        found.append((file, size, file.parts[1] if len(file.parts) > 1 else "run_1"))
    return found


def test_the_example_is_sound_and_every_file_is_checked(example):
    found = check(example)
    assert found.problems == found.orphans == []
    assert set(paths(found.notes)) == {f"runs/{KILLED}/metrics.jsonl", f"runs/{KILLED}/snapshots.zarr"}
    files = recorded(example)
    assert found.checked == len(files)
    kinds = {part for file, _, _ in files for part in file.parts[2:3]}
    assert kinds >= {"arrays.zarr", "distilled.zarr", "snapshots.zarr", "checkpoints", "metrics.jsonl"}
    assert kinds >= {"evaluations", "attacks", "timings", "table.json", "figures", "manifest.json"}


def test_a_flipped_lost_or_added_byte_in_any_file_is_found_and_named(store):
    places = random.Random(0)
    for file, size, artifact in recorded(store):
        content, at = (store / file).read_bytes(), places.randrange(size)
        flipped = bytes([content[at] ^ places.randint(1, 255)])
        for changed in (flipped, b"", content[at : at + 1] + b"\n"):
            (store / file).write_bytes(content[:at] + changed + content[at + 1 :])
            assert paths(check(store, artifact).problems) == [file.as_posix()], (file, at, changed)
        (store / file).write_bytes(content)


def test_a_missing_file_is_named(store):
    for file in (
        "datasets/shapes/arrays.zarr/zarr.json",
        "runs/run_1/manifest.json",
        "runs/run_1/metrics.jsonl",
        "runs/run_3/checkpoints/2/state.safetensors",
        "sweeps/sweep_1/table.json",
    ):
        content = (store / file).read_bytes()
        (store / file).unlink()
        (problem,) = check(store).problems
        assert (problem.path, problem.problem) == (file, "is missing")
        (store / file).write_bytes(content)


@pytest.mark.parametrize(
    "file",
    [
        "notes.txt",
        "datasets/notes.txt",
        "datasets/shapes/notes.txt",
        "datasets/shapes/arrays.zarr/train/images/c/1/0/0/0",
        "runs/A copy/file",
        "runs/run_1/distilled.zarr/more",
        "runs/run_3/checkpoints/latest",
        "runs/run_3/checkpoints/2/more",
        "runs/run_1/evaluations/mine.json",
        "sweeps/sweep_1/figures/mine.png",
        "runs/run_1/.tmp-0123456789abcdef",
        "runs/.tmp-0123456789abcdef",
    ],
)
def test_a_file_without_a_checksum_is_an_orphan_and_no_damage(store, file):
    path = store / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    found = check(store)
    assert (paths(found.orphans), found.problems) == ([file.removesuffix("/file")], [])


def test_pictures_of_a_run_are_neither_damage_nor_orphans(store):
    (store / "runs" / "run_1" / "figures" / "mine.png").write_text("a picture")
    found = check(store)
    assert found.orphans == found.problems == []


def test_an_unprintable_name_is_escaped(store):
    (store / "runs" / "run_1" / "\x1b[2J").write_text("mine")
    assert paths(check(store).orphans) == ["'runs/run_1/\\x1b[2J'"]


def test_a_quick_check_skips_the_content_of_large_files_only(store):
    large = next((store / "datasets/shapes/arrays.zarr/train/images/c").rglob("0/0/0/0"))
    content = large.read_bytes()
    large.write_bytes(content + bytes(2**20))
    assert check(store, quick=True).problems == []
    large.write_bytes(content + b"0")
    assert paths(check(store, quick=True).problems) == [large.relative_to(store).as_posix()]


def test_a_store_of_a_newer_format_is_not_checked_further(store):
    (store / "store.json").write_text('{"format": 2}')
    (store / "runs" / "run_1" / "manifest.json").write_text("{")
    (problem,) = check(store).problems
    assert problem.path == "store.json"
    assert "newer rcig (format 2)" in problem.problem


def test_a_folder_lost_while_it_was_replaced_is_named(store):
    run = store / "runs" / "run_1" / "distilled.zarr"
    run.rename(run.with_name(".replaced-distilled.zarr-0123456789abcdef"))
    problems = check(store).problems
    assert any("complete previous folder is .replaced-distilled.zarr-0" in one.problem for one in problems)


def test_a_manifest_in_another_folder_is_damage(store):
    (store / "runs" / "run_2").rename(store / "runs" / "run_9")
    (store / "runs" / "run_3" / "checkpoints" / "2").rename(store / "runs" / "run_3" / "checkpoints" / "7")
    assert {one.path: one.problem for one in check(store).problems} == {
        "runs/run_3/checkpoints/7/manifest.json": "belongs to step 2",
        "runs/run_9/manifest.json": "belongs to run_2, not to run_9",
    }


def test_a_missing_or_changed_parent_is_a_note(store):
    manifest = store / "datasets" / "shapes" / "manifest.json"
    write_document(manifest, read_document(manifest) | {"class_names": ["a", "b"]})
    found = check(store, "run_1")
    assert (found.problems, paths(found.notes)) == ([], ["runs/run_1"])
    assert "was made from another shapes than the one in this store" in found.notes[0].problem
    shutil.rmtree(store / "datasets" / "shapes")
    shutil.rmtree(store / "runs" / "run_6")
    found = check(store, "run_1", "sweep_1")
    assert found.problems == []
    assert [one.problem for one in found.notes] == [
        "was made from shapes, which isn't in this store",
        "names run_6, which isn't in this store",
    ]


def test_a_data_set_that_is_replaced_meanwhile_is_not_called_damaged(store, monkeypatch):
    """Its folder is replaced between reading its manifest and its files, which then don't match."""
    from rcig_cli.store import audit

    shapes, other = store / "datasets" / "shapes", Path(f"{store}-other")
    shutil.copytree(shapes, other)
    manifest = read_document(other / "manifest.json")
    zarr = other / "arrays.zarr" / "zarr.json"
    zarr.write_text(zarr.read_text() + " ")
    from rcig_cli.store.digests import digests
    from rcig_cli.store.files import replace_folder

    write_document(other / "manifest.json", {**manifest, "files": digests(other, "arrays.zarr")})
    read, calls = audit.read_manifest, []

    def read_then_replace(folder, kind):
        found = read(folder, kind)
        if folder == shapes and not calls:
            calls.append(folder)
            replace_folder(other, shapes)
        return found

    monkeypatch.setattr(audit, "read_manifest", read_then_replace)
    found = check(store, "shapes")
    assert calls
    assert found.problems == found.orphans == []
