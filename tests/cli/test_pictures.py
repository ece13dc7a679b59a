"""``rcig visualize`` as a user types it."""

import shutil

import numpy as np
import pytest
from PIL import Image

from rcig_cli.reporting import visualize
from rcig_cli.reporting.figures.comparison import draw_comparison
from rcig_cli.store.results import write_result
from tests.example_store import EVALUATION

FILES = {"grid": "grid.png", "labels": "labels.png", "curves": "curves.png", "animate": "animate.gif"}


@pytest.fixture
def store(digits_run, tmp_path):
    """A copy of the store with the tiny run."""
    shutil.copytree(digits_run, tmp_path / "a")
    return tmp_path / "a"


@pytest.mark.parametrize("out", [None, "new/folder"])
def test_several_figures_go_into_a_folder(rcig, store, tmp_path, out):
    flags = [f"--{kind}" for kind in FILES] + (["--out", tmp_path / out] if out else [])
    outcome = rcig("visualize", "run_1", *flags, "--store", store, "--json")
    folder = tmp_path / out if out else store / "runs" / "run_1" / "figures"
    files = [folder / name for name in FILES.values()]
    assert outcome.json == {"run": "run_1", "files": list(map(str, files))}
    for path in files:
        with Image.open(path) as picture:
            assert picture.size[0] > 400
            assert picture.format == path.suffix[1:].upper()
            assert path.suffix == ".png" or picture.n_frames == 7  # the real images, and six steps


def test_one_figure_goes_into_an_existing_folder_or_a_file(rcig, store, tmp_path):
    assert rcig("visualize", "run_1", "--labels", "--out", tmp_path, "--store", store).code == 0
    assert (tmp_path / "labels.png").is_file()
    assert rcig("visualize", "run_1", "--animate", "--out", tmp_path / "x.gif", "--store", store).code == 0
    assert (tmp_path / "x.gif").is_file()


@pytest.mark.parametrize(
    ("flags", "out", "said"),
    [
        (["--grid", "--labels"], "both.png", "must be a folder"),
        (["--animate"], "x.png", "must end in .gif"),
        (["--curves"], "x", "must end in .png"),
        (["--grid", "--curves"], "file", "must be a folder"),
    ],
)
def test_an_out_that_does_not_fit_is_refused_and_nothing_is_written(rcig, store, tmp_path, flags, out, said):
    (tmp_path / "file").write_text("mine")
    outcome = rcig("visualize", "run_1", *flags, "--out", tmp_path / out, "--store", store, "--json")
    assert outcome.code == 2
    assert said in outcome.json["error"]["message"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file"]


def test_two_runs_side_by_side(rcig, store):
    assert rcig("distill", "digits", "--ipc", 2, "--algorithm", "random", "--store", store).code == 0
    outcome = rcig("visualize", "run_1", "--compare", "run_2", "--store", store, "--json")
    path = store / "runs" / "run_1" / "figures" / "compare-run_2.png"
    assert outcome.json["files"] == [str(path)]
    with Image.open(path) as picture:
        assert picture.size[0] > 400
    assert rcig("visualize", "run_1", "--compare", "run_9", "--store", store).code == 3


def test_a_comparison_and_a_report_give_the_highest_accuracy(rcig, store, tmp_path, monkeypatch):
    described = []
    monkeypatch.setattr(
        visualize, "draw_comparison", lambda *sides: described.extend(sides) or draw_comparison(*sides)
    )
    for mean in (0.75, 0.144):  # the newest is a trial
        evaluation = {**EVALUATION, "accuracy": {"mean": mean, "std": 0.0, "values": [mean]}}
        write_result(store / "runs" / "run_1", "evaluations", "convnet", evaluation)
    out = ["--out", tmp_path / "compare.png", "--store", store]
    assert rcig("visualize", "run_1", "--compare", "run_1", *out).code == 0
    assert "test accuracy 75.0 % (convnet)" in described[0].heading.details
    assert rcig("report", "run_1", "--out", tmp_path / "r.html", "--store", store).code == 0
    assert "<dt>test accuracy</dt><dd>75.0 %</dd>" in (tmp_path / "r.html").read_text()


def test_runs_of_different_data_are_not_compared(rcig, store, tmp_path):
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    path = tmp_path / "other.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    rcig("prepare", "other", "--from", path, "--store", store)
    assert rcig("distill", "other", "--ipc", 1, "--algorithm", "random", "--store", store).code == 0
    outcome = rcig("visualize", "run_1", "--compare", "run_2", "--store", store)
    assert outcome.code == 2
    assert "same data set" in outcome.err
