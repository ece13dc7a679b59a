"""``rcig sweep``: what it prints and draws, and its messages for mistakes in the file."""

import shutil
from contextlib import chdir

import pytest
from PIL import Image

from rcig_cli.store.documents import read_document, write_document
from tests.cli.test_errors import one_sentence
from tests.conftest import run_rcig

FILE = """
ipc = 1
steps = 3
width = 4
batch = 64
pool_size = 3
pool_steps = 3
hessian_steps = 2

[sweep]
inner_steps = [1, 2]

[evaluate]
networks = 1
steps = 5
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder with a sweep's file, and a store that it made from nothing; with what it printed."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "sweep.toml").write_text('dataset = "digits"\n' + FILE)
    with chdir(folder):
        made = run_rcig("sweep", "sweep.toml", "--store", "a")
    assert made.code == 0, made.err
    return folder / "a", made.out, made.err


def test_the_table_and_the_paths_of_the_plots_are_on_stdout(swept):
    store, out, err = swept
    head, first, second, random, *paths = out.splitlines()
    assert head.split() == ["inner_steps", "accuracy", "stored", "ms/step", "seconds", "runs"]
    assert (first.split()[0], second.split()[0]) == ("1", "2")
    assert random.startswith("random images")
    assert [path.rpartition("/")[2] for path in paths] == [
        "accuracy.png",
        "milliseconds.png",
        "seconds.png",
        "course.png",
    ]
    for path in paths:
        with Image.open(store.parent / path) as picture:
            assert min(picture.size) > 300
    assert "Preparing digits" in err
    assert "run_2: run 2 of 2, inner_steps 2." in err
    assert err.rstrip().endswith("Next: rcig show sweep_1 --store a")


def test_list_and_show(rcig, swept):
    store = swept[0]
    (listed,) = rcig("list", "--store", store, "--json").json["sweeps"]
    assert listed == {
        "sweep": "sweep_1",
        "status": "finished",
        "dataset": "digits",
        "runs": ["run_1", "run_2"],
    }
    assert rcig("list", "--store", store).out.splitlines()[-1].split()[:4] == [
        "sweep_1",
        "digits",
        "2/2",
        "finished",
    ]
    shown = rcig("show", "sweep_1", "--store", store)
    assert "inner_steps 1: " in shown.out
    assert len(rcig("show", "sweep_1", "--store", store, "--json").json["table"]["rows"]) == 2
    assert rcig("show", "run_1", "--store", store, "--json").json["parents"]["sweep"]["name"] == "sweep_1"
    one_sentence(rcig("show", "sweep_9", "--store", store), 3, "sweep_9")


def test_a_damaged_table_is_named(rcig, swept, tmp_path):
    shutil.copytree(swept[0], tmp_path / "a")
    table = tmp_path / "a" / "sweeps" / "sweep_1" / "table.json"
    table.write_text(table.read_text().replace("1", "2", 1))
    one_sentence(rcig("show", "sweep_1", "--store", tmp_path / "a"), 5, "table.json")


def test_a_damaged_manifest_does_not_hide_the_runs(rcig, swept, tmp_path):
    shutil.copytree(swept[0], tmp_path / "a")
    manifest = tmp_path / "a" / "sweeps" / "sweep_1" / "manifest.json"
    write_document(manifest, read_document(manifest) | {"runs": [3]})
    outcome = rcig("list", "--store", tmp_path / "a", "--json")
    assert len(outcome.json["runs"]) == 2
    assert "manifest.json was written by another version of rcig" in outcome.err


@pytest.fixture(scope="module")
def prepared(swept, tmp_path_factory):
    """A store of digits alone."""
    store = shutil.copytree(swept[0], tmp_path_factory.mktemp("prepared") / "a")
    for folder in ("runs", "sweeps"):
        shutil.rmtree(store / folder)
    return store


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (FILE.replace("inner_steps = [1, 2]", "depth = [2, 9]"), 2, "With depth 9"),
        (
            FILE.replace("inner_steps = [1, 2]", 'algorithm = ["vig"]\nsolver = "cg"'),
            2,
            "solver of vig must be adam",
        ),
        (FILE.replace("inner_steps = [1, 2]", "ipc = [1, 5000]"), 2, "5000 is too many"),
        (FILE.replace("networks = 1", "depth = 9"), 2, "too small for a ConvNet of depth 9"),
        ('dataset = "../etc"\n' + FILE, 2, "../etc"),
        (FILE.replace("inner_steps", 'dataset = ["digits", "mnist"]\ninner_steps'), 3, "rcig prepare mnist"),
        (
            'ipc = 1\nminutes = 3\n[sweep]\nalgorithm = ["dm", "mtt"]',
            2,
            "With algorithm mtt: mtt trains experts",
        ),
    ],
)
def test_mistakes_are_reported_before_anything_is_run(rcig, prepared, tmp_path, text, code, said):
    (tmp_path / "sweep.toml").write_text(text)
    one_sentence(rcig("sweep", tmp_path / "sweep.toml", "--store", prepared), code, said)
    assert rcig("list", "--store", prepared, "--json").json["runs"] == []
    assert not (prepared / "sweeps").exists()


def test_a_missing_file(rcig, tmp_path):
    one_sentence(rcig("sweep", tmp_path / "none.toml", "--store", tmp_path / "a"), 3, "none.toml")
    one_sentence(rcig("sweep", "--store", tmp_path / "a"), 2, "FILE")
    assert not (tmp_path / "a").exists()
