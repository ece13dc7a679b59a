"""Verify: a damaged byte in any file is found and its file named."""

import random
import shutil
from pathlib import Path

import pytest

from rcig_cli.runs.housekeeping import verify as verification
from rcig_cli.runs.housekeeping.verify import verify
from rcig_cli.store.digests import digests
from rcig_cli.store.documents import read_document, write_document
from rcig_cli.store.files import replace_folder
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
    return verify(root, names, Silent(), quick=quick)


def paths(findings):
    return [one.path for one in findings]


def problems(root, *names, quick=False):
    return paths(check(root, *names, quick=quick).of_kind("problem"))


def recorded(root):
    """Every file with a recorded checksum, its size in bytes, and its artifact."""
    found = []
    for path in sorted(path for path in root.rglob("*") if path.is_file()):
        file = path.relative_to(root)
        killed = file.parts[1:] in [(KILLED, "snapshots.npz"), (KILLED, "metrics.jsonl")]
        if file.name not in ("lock", "grid.png") and not killed:
            found.append((file, path.stat().st_size, file.parts[1] if len(file.parts) > 1 else "run_1"))
    return found


def test_the_example_is_sound_and_every_file_is_checked(example):
    found = check(example)
    assert {one.kind for one in found.findings} == {"note"}
    assert set(paths(found.findings)) == {f"runs/{KILLED}/metrics.jsonl", f"runs/{KILLED}/snapshots.npz"}
    files = recorded(example)
    assert found.checked == len(files)
    kinds = {part for file, _, _ in files for part in file.parts[2:3]}
    assert kinds >= {"arrays.zarr", "distilled.zarr", "snapshots.npz", "checkpoints", "metrics.jsonl"}
    assert kinds >= {"evaluations", "attacks", "timings", "table.json", "figures", "manifest.json"}


def test_a_flipped_lost_or_added_byte_in_any_file_is_found_and_named(store):
    places = random.Random(0)
    for file, size, artifact in recorded(store):
        content, at = (store / file).read_bytes(), places.randrange(size)
        flipped = bytes([content[at] ^ places.randint(1, 255)])
        for changed in (flipped, b"", content[at : at + 1] + b"\n"):
            (store / file).write_bytes(content[:at] + changed + content[at + 1 :])
            assert problems(store, artifact) == [file.as_posix()], (file, at, changed)
        (store / file).write_bytes(content)


def test_a_missing_file_is_named(store):
    missing = [
        "datasets/shapes/arrays.zarr/zarr.json",
        "runs/run_1/metrics.jsonl",
        "runs/run_2/manifest.json",
        "runs/run_3/checkpoints/2/state.safetensors",
        "sweeps/sweep_1/table.json",
    ]
    for file in missing:
        (store / file).unlink()
    found = check(store).of_kind("problem")
    assert {one.path: one.text for one in found} == dict.fromkeys(missing, "is missing")


def test_files_without_a_checksum_are_orphans_and_no_damage(store):
    files = [
        "notes.txt",
        "datasets/notes.txt",
        "datasets/shapes/notes.txt",
        "datasets/shapes/arrays.zarr/train/images/c/1/0/0/0",
        "runs/A copy/file",
        "runs/run_1/distilled.zarr/more",
        "runs/run_3/checkpoints/latest",
        "runs/run_3/checkpoints/2/more",
        "runs/run_1/evaluations/mine.txt",
        "runs/run_1/\x1b[2J",
        "sweeps/sweep_1/figures/mine.png",
        "runs/run_1/.tmp-0123456789abcdef",
        "runs/.tmp-0123456789abcdef",
    ]
    for file in (*files, "runs/run_1/figures/mine.png"):
        (store / file).parent.mkdir(parents=True, exist_ok=True)
        (store / file).write_text("mine")
    found = check(store)
    named = {file.removesuffix("/file") for file in files if file.isprintable()}
    assert set(paths(found.of_kind("orphan"))) == named | {"'runs/run_1/\\x1b[2J'"}
    assert found.of_kind("problem") == []


def test_a_quick_check_skips_the_content_of_large_files_only(store):
    large = next((store / "datasets/shapes/arrays.zarr/train/images/c").rglob("0/0/0/0"))
    content = large.read_bytes()
    large.write_bytes(content + bytes(2**20))
    assert problems(store, quick=True) == []
    large.write_bytes(content + b"0")
    assert problems(store, quick=True) == [large.relative_to(store).as_posix()]


@pytest.mark.parametrize(
    ("format_", "sentence"), [(2, "newer rcig (format 2)"), (0, "another version of rcig")]
)
def test_a_store_of_another_format_is_not_checked_further(store, format_, sentence):
    (store / "store.json").write_text(f'{{"format": {format_}}}')
    (store / "runs" / "run_1" / "manifest.json").write_text("{")
    (problem,) = check(store).findings
    assert problem.path == "store.json"
    assert sentence in problem.text


def test_a_manifest_in_another_folder_is_damage(store):
    (store / "runs" / "run_2").rename(store / "runs" / "run_9")
    (store / "runs" / "run_3" / "checkpoints" / "2").rename(store / "runs" / "run_3" / "checkpoints" / "7")
    assert {one.path: one.text for one in check(store).of_kind("problem")} == {
        "runs/run_3/checkpoints/7/manifest.json": "belongs to step 2",
        "runs/run_9/manifest.json": "belongs to run_2, not to run_9",
    }


def test_a_missing_or_changed_parent_is_a_note(store):
    manifest = store / "datasets" / "shapes" / "manifest.json"
    write_document(manifest, read_document(manifest) | {"class_names": ["a", "b"]})
    (note,) = check(store, "run_1").findings
    assert (note.kind, note.path) == ("note", "runs/run_1")
    assert "was made from another version of shapes" in note.text
    shutil.rmtree(store / "datasets" / "shapes")
    shutil.rmtree(store / "runs" / "run_6")
    found = check(store, "run_1", "sweep_1")
    assert [(one.kind, one.text) for one in found.findings] == [
        ("note", "was made from shapes, which isn't in this store"),
        ("note", "includes run_6, which isn't in this store"),
    ]


def test_a_data_set_that_is_replaced_meanwhile_is_not_called_damaged(store, monkeypatch):
    """Its folder is replaced between reading its manifest and its files, which then don't match."""
    shapes, other = store / "datasets" / "shapes", Path(f"{store}-other")
    shutil.copytree(shapes, other)
    manifest = read_document(other / "manifest.json")
    zarr = other / "arrays.zarr" / "zarr.json"
    zarr.write_text(zarr.read_text() + " ")
    write_document(other / "manifest.json", {**manifest, "files": digests(other, "arrays.zarr")})
    read, calls = verification.read_manifest, []

    def read_then_replace(folder, kind):
        found = read(folder, kind)
        if folder == shapes and not calls:
            calls.append(folder)
            replace_folder(other, shapes)
        return found

    monkeypatch.setattr(verification, "read_manifest", read_then_replace)
    assert check(store, "shapes").findings == ()
    assert calls
