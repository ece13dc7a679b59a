"""The store: opening, finding, and making runs from many processes at once."""

import json
from functools import partial
from pathlib import Path

import pytest

from rcig_cli.errors import ConfigError, Corrupt, Locked, NotFound
from rcig_cli.store.locks import RunLock
from rcig_cli.store.records import write_manifest
from rcig_cli.store.store import open_store

HEAVY = {"jax", "zarr", "numpy", "safetensors"}


def add_dataset(store, manifest):
    store.dataset_path(manifest.name).mkdir(parents=True)
    write_manifest(store.dataset_path(manifest.name), manifest)


def add_run(store, manifest):
    store.run_path(manifest.name).mkdir(parents=True)
    write_manifest(store.run_path(manifest.name), manifest)


def test_a_store_is_made_and_opened_again(tmp_path):
    (tmp_path / "a" / "b" / ".tmp-0").mkdir(parents=True)
    (tmp_path / "a" / "b" / ".DS_Store").touch()
    made = open_store(tmp_path / "a" / "b", create=True)
    assert json.loads((made.root / "store.json").read_text())["format"] == 1
    assert open_store(made.root, create=False) == made == open_store(made.root, create=True)


def test_no_store_is_made_unless_asked(tmp_path):
    for root in (tmp_path / "absent", tmp_path):
        with pytest.raises(NotFound, match=r"There is no store at .*`rcig prepare`.*--store"):
            open_store(root, create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("create", [True, False])
def test_a_folder_with_other_files_is_unchanged(tmp_path, create):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConfigError, match=r"isn't an rcig store: it has files in it but no store\.json"):
        open_store(tmp_path, create=create)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_not_a_store(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="isn't an rcig store: it is a file"):
        open_store(tmp_path / "file", create=True)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"format": 7}', "newer rcig"),
        ('{"format": 0}', "another version of rcig"),
        ("{", "readable JSON"),
        ("{}", "its format is None"),
    ],
)
def test_a_store_that_cannot_be_read(tmp_path, content, sentence):
    (tmp_path / "store.json").write_text(content)
    with pytest.raises(Corrupt, match=sentence):
        open_store(tmp_path, create=True)


def test_runs_are_listed_in_natural_order(store, run_manifest):
    for name in ("run_10", "run_2", "imported"):
        add_run(store, run_manifest(name))
    assert [run.name for run in store.runs().found] == ["imported", "run_2", "run_10"]


def test_a_damaged_data_set_does_not_hide_the_others(store, dataset_manifest):
    for name in ("a", "b", "c", "d"):
        add_dataset(store, dataset_manifest(name))
    (store.dataset_path("b") / "manifest.json").write_text("{")
    (store.dataset_path("c") / "manifest.json").unlink()
    store.dataset_path("d").rename(store.dataset_path("e"))
    (store.root / "datasets" / ".tmp-1").mkdir()
    (store.root / "datasets" / "notes.txt").touch()
    listing = store.datasets()
    assert [dataset.name for dataset in listing.found] == ["a"]
    phrases = ("b/manifest.json is damaged: it isn't readable JSON", "c is damaged: it has no manifest.json")
    for problem, phrase in zip(listing.problems, (*phrases, "belongs to d, not to e"), strict=True):
        assert phrase in problem


def test_a_run_whose_process_was_killed_is_interrupted(store, run_manifest):
    run, lock = store.create("run", run_manifest)
    with lock:
        assert store.with_current_status(run).status == "running"
    assert store.with_current_status(run).status == "interrupted"


def test_the_error_for_a_missing_name_lists_the_existing_ones(store, dataset_manifest, run_manifest):
    with pytest.raises(NotFound, match=r"no data set 'mnist'; the store has none yet. Make one with"):
        store.dataset("mnist")
    for name in ("mnist", "cifar10"):
        add_dataset(store, dataset_manifest(name))
    with pytest.raises(NotFound) as caught:
        store.dataset("cifra10")
    assert str(caught.value) == (
        "There is no data set 'cifra10'; did you mean 'cifar10'? The store has: cifar10, mnist."
    )
    add_run(store, run_manifest("run_3"))
    with pytest.raises(NotFound, match=r"no run 'xyz'\. The store has: run_3"):
        store.run("xyz")


@pytest.mark.parametrize("name", ["..", "/etc", "a\0b", "x" * 10_000, "../datasets/digits"])
def test_no_name_leads_outside(store, name):
    for look_up in (
        store.dataset_path,
        store.run_path,
        partial(store.group_path, "sweep"),
        store.dataset,
        store.run,
        partial(store.group, "sweep"),
    ):
        with pytest.raises(ConfigError):
            look_up(name)


@pytest.mark.parametrize("kind", ["run", "sweep"])
def test_runs_and_sweeps_are_numbered_locked_and_found(store, run_manifest, sweep_manifest, kind):
    make_manifest, find = (
        (run_manifest, store.run) if kind == "run" else (sweep_manifest, partial(store.group, kind))
    )
    (store.folder_of(kind) / f"{kind}_7").mkdir(parents=True)
    for number in (8, 9):
        made, lock = store.create(kind, make_manifest)
        assert made == find(f"{kind}_{number}") == make_manifest(f"{kind}_{number}")
        folder = store.folder_of(kind) / f"{kind}_{number}"
        with lock, pytest.raises(Locked, match=f"{kind}_{number} is being written"):
            RunLock(folder)
        RunLock(folder).release()


def test_a_run_that_cannot_be_made_leaves_nothing(store):
    def refuse(_):
        raise RuntimeError("no")

    for names in (None, ["frepo"]):
        with pytest.raises(RuntimeError, match="no"):
            store.create("run", refuse, names=names)
    assert list(store.folder_of("run").iterdir()) == []


CREATE_RUNS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from conftest import _run_manifest
from rcig_cli.store.store import open_store
store = open_store(Path(sys.argv[1]), create=True)
print("ready", flush=True)
input()
for _ in range(int(sys.argv[2])):
    made, lock = store.create("run", _run_manifest)
    assert store.run(made.name) == made
    assert not store.runs().problems
    print(made.name, flush=True)
"""


def test_many_processes_make_runs_at_once(tmp_path, python):
    root, processes, each = tmp_path / "artifacts", 4, 6
    started = [python(CREATE_RUNS, root, each, Path(__file__).parent) for _ in range(processes)]
    for process in started:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60) for process in started]
    assert all(process.returncode == 0 for process in started), outputs
    names = [name for output, _ in outputs for name in output.split()]
    expected = [f"run_{number}" for number in range(1, processes * each + 1)]
    assert sorted(names) == sorted(expected)
    assert [run.name for run in open_store(root, create=False).runs().found] == expected
    assert sorted(path.name for path in (root / "runs").iterdir()) == sorted(expected)


def test_listing_needs_no_heavy_import(store, python):
    code = (
        "import sys, pathlib, rcig_cli.store.results, rcig_cli.store.metrics\n"
        "from rcig_cli.store.store import open_store\n"
        "open_store(pathlib.Path(sys.argv[1]), create=False).runs()\n"
        f"print({HEAVY!r} & set(sys.modules))"
    )
    assert python(code, store.root).communicate()[0] == "set()\n"


def test_a_named_run_is_visible_only_when_complete(store, run_manifest):
    seen = []

    def fill(folder):
        (folder / "arrays").write_text("numbers")
        seen.extend(
            path.name for path in store.folder_of("run").iterdir() if not path.name.startswith(".tmp-")
        )

    made, lock = store.create("run", run_manifest, names=["frepo"], fill=fill)
    lock.release()
    assert seen == []
    assert store.run("frepo") == made
    assert (store.run_path("frepo") / "arrays").read_text() == "numbers"
    with pytest.raises(ConfigError, match="There is a run frepo already"):
        store.create("run", lambda name: run_manifest(name, step=9), names=["frepo"])
    assert store.run("frepo").step == 0
    assert [path.name for path in store.folder_of("run").iterdir()] == ["frepo"]
    next_made, lock = store.create("run", run_manifest, names=["frepo", "frepo-2"])
    lock.release()
    assert next_made.name == "frepo-2"


def test_locating_by_name(store, dataset_manifest, run_manifest):
    add_dataset(store, dataset_manifest("shared"))
    add_run(store, run_manifest("shared"))
    add_run(store, run_manifest("run_2"))
    with pytest.raises(ConfigError, match="datasets/shared or runs/shared"):
        store.locate("shared")
    assert store.locate("runs/shared").path == store.run_path("shared")
    assert store.locate("run_2").kind == "run"
    assert [(one.kind, one.name) for one in store.artifacts()] == [
        ("data set", "shared"), ("run", "run_2"), ("run", "shared"),
    ]  # fmt: skip
    for name, error in (
        ("run_9", "no run 'run_9'"),
        ("sweep_1", "no sweep"),
        ("other", "nothing called 'other'"),
    ):
        with pytest.raises(NotFound, match=error):
            store.locate(name)
    for name in ("..", "runs/..", "a/b", "run_1/checkpoints", ""):
        with pytest.raises(ConfigError):
            store.locate(name)
