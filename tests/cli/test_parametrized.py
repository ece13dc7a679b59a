"""Commands with parametrized sets: what they say of stored bytes, and what they read and write."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.store.store import open_store
from tests.cli.test_errors import one_sentence
from tests.data.exchange_sets import WRITABLE, same_bits
from tests.parametrized import BASIS, MULTIFORMATION, write_encoded

# Of digits: 10 images of 8x8 take 2560 bytes; 4 bases of 4x4 and 30 x 4 coefficients take 736.
SIZES = {
    "multi": {"parametrization": "multiformation", "images": 40, "raw_images": 10},
    "basis": {"parametrization": "basis", "images": 30, "raw_images": 10},
}
SIZES["multi"]["stored_bytes"] = {"images": 2560, "labels": 1600}
SIZES["basis"]["stored_bytes"] = {"images": 736, "labels": 1200}
TINY_EVALUATION = ("--networks", 1, "--steps", 4, "--lr", "1e-2", "--width", 4)


@pytest.fixture(scope="module")
def store(digits_run, tmp_path_factory):
    """A store with digits, the raw `run_1`, and the parametrized `multi` and `basis`."""
    from rcig_cli.cli.app import main

    folder = tmp_path_factory.mktemp("parametrized")
    store = shutil.copytree(digits_run, folder / "a")
    for name, settings in (("multi", MULTIFORMATION), ("basis", BASIS)):
        write_encoded(folder / f"{name}.npz", store, "digits", settings)
        with pytest.raises(SystemExit) as left:
            main(["import", str(folder / f"{name}.npz"), "--dataset", "digits", "--store", str(store)])
        assert left.value.code == 0
    return store


def opened(store, run):
    return open_distilled(open_store(store, create=False), run)


@pytest.mark.parametrize("run", ["multi", "basis"])
@pytest.mark.parametrize("form", [name for name, form in WRITABLE.items() if form.keeps_stored])
def test_an_exported_parametrized_set_is_imported_with_the_same_stored_arrays(
    rcig, store, tmp_path, run, form
):
    path = tmp_path / "x"
    done = rcig("export", run, "--format", form, "--out", path, "--store", store)
    assert (done.code, "decoded" in done.err) == (0, False)
    back = rcig("import", path, "--dataset", "digits", "--store", store, "--json").json
    ours, theirs = opened(store, run), opened(store, back["run"])
    assert ours.stored.keys() == theirs.stored.keys()
    assert all(same_bits(ours.stored[name], theirs.stored[name]) for name in ours.stored)
    assert all(same_bits(getattr(ours, n), getattr(theirs, n)) for n in ("images", "labels", "classes"))
    assert ours.config == theirs.config
    assert theirs.size.to_json() == SIZES[run]


def test_png_has_only_the_decoded_images_and_is_imported_as_a_raw_set(rcig, store, tmp_path):
    done = rcig("export", "multi", "--format", "png", "--out", tmp_path / "x", "--store", store)
    assert "Only the decoded images were exported, not what multi stores." in done.err
    back = rcig("import", tmp_path / "x", "--dataset", "digits", "--store", store, "--json").json
    assert opened(store, back["run"]).size.to_json()["stored_bytes"] == {"images": 10240, "labels": 1600}


@pytest.mark.parametrize(
    ("settings", "arrays", "said"),
    [
        ({"factor": 4}, {}, "with its settings of multiformation it would have 160"),
        ({"factor": 3}, {}, "settings of multiformation that can't be used"),
        ({"ipc": 2}, {}, "it would have 80"),
        ({"ipc": None}, {}, "ipc is missing"),
        ({"steps": 7}, {}, "'steps' is not one of them"),
        ({"parametrization": "codec"}, {}, "has the parametrization 'codec', which is none of: raw, multif"),
        ({}, {"stored_grids": np.zeros((10, 8, 8, 2), np.float32)}, "the file has float32 (10, 8, 8, 2)"),
        ({}, {"stored_grids": np.zeros((10, 8, 8, 1))}, "the file has float64"),
        ({}, {"stored_more": np.zeros(3, np.float32)}, "stored_more doesn't fit the settings"),
        ({}, {"stored_grids": np.zeros((10, 8, 8, 1), np.float32)}, "are not those that its stored arrays"),
        ({}, {"stored_grids": np.full((10, 8, 8, 1), np.nan, np.float32)}, "are not those that its stored"),
    ],
)
def test_settings_and_arrays_that_do_not_fit_each_other_are_refused(
    rcig, store, tmp_path, settings, arrays, said
):
    write_encoded(tmp_path / "a.npz", store, "digits", MULTIFORMATION)
    with np.load(tmp_path / "a.npz") as found:
        whole = dict(found)
    changed = {**json.loads(str(whole["parametrization"])), **settings}
    given = json.dumps({name: value for name, value in changed.items() if value is not None})
    np.savez(tmp_path / "a.npz", **{**whole, **arrays, "parametrization": np.array(given)})
    outcome = rcig("import", tmp_path / "a.npz", "--dataset", "digits", "--store", store)
    one_sentence(outcome, 2, said)


def test_accuracies_have_the_stored_bytes_beside_them(rcig, store, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    outcome = rcig("evaluate", "multi", *TINY_EVALUATION, "--store", store)
    assert re.search(r"convnet, width 4 +\d+\.\d % +\d+\.\d % +2\.6 kB", outcome.out)
    said = " ".join(outcome.err.split())
    assert "multi: 2.6 kB stored (40 images from the bytes of 10) and 1.6 kB of labels." in said
    assert "Random subsets have 10 real images, which take at least as many bytes." in said
    assert "The paper's accuracies are for raw sets." in said
    rcig("evaluate", "run_1", *TINY_EVALUATION, "--store", store)
    shown = rcig("show", "multi", "--store", store)
    assert "2.6 kB stored (40 images from the bytes of 10) and 1.6 kB of labels" in shown.out
    assert "factor 2" in shown.out
    assert "image_lr" not in shown.out  # of a distillation that is not known
    assert re.search(r"multi +digits +4 in the bytes of 1 +2\.6 kB", rcig("list", "--store", store).out)
    compared = rcig("compare", "multi", "run_1", "--store", store).out
    assert re.search(r"parametrization +multiformation +raw", compared)
    assert re.search(r"stored +2\.6 kB \(40 images\) +2\.6 kB\n", compared)


@pytest.mark.parametrize("run", ["multi", "basis"])
def test_json_has_the_size_and_an_imported_copy_the_same_accuracy(rcig, store, tmp_path, run):
    rcig("export", run, "--out", tmp_path / f"{run}-again.npz", "--store", store)
    rcig("import", tmp_path / f"{run}-again.npz", "--dataset", "digits", "--store", store)
    found = [
        rcig("evaluate", name, *TINY_EVALUATION, "--hard-labels", "--store", store, "--json").json
        for name in (run, f"{run}-again")
    ]
    (first,), (again,) = (each["evaluations"] for each in found)
    assert first == again
    assert SIZES[run].items() <= first.items()
    assert SIZES[run].items() <= rcig("show", run, "--store", store, "--json").json.items()
    (listed,) = [r for r in rcig("list", "--store", store, "--json").json["runs"] if r["run"] == run]
    assert SIZES[run].items() <= listed.items()


def test_the_random_subset_has_ipc_images_of_each_class_and_training_follows_the_decoded_images(store):
    import jax

    from rcig_cli.runs.evaluate.measurement import random_subsets
    from rcig_cli.runs.evaluate.protocol import evaluation_protocol

    distilled = opened(store, "multi")
    images, labels = random_subsets(distilled.prepared, [1] * 10, flip=False)(jax.random.key(0))
    assert images.shape == (10, 8, 8, 1)
    assert labels.argmax(1).tolist() == list(range(10))
    assert evaluation_protocol(distilled.config, len(distilled.images)).steps == 2000


def test_pictures_of_a_parametrized_set(rcig, store, tmp_path):
    for run, least in (("multi", 5 * 96), ("basis", 96)):
        flags = ("--grid", "--labels", "--stored", "--out", tmp_path / run)
        assert rcig("visualize", run, *flags, "--store", store).code == 0
        for kind in ("grid", "labels", "stored"):
            with Image.open(tmp_path / run / f"{kind}.png") as picture:
                assert picture.size[0] > least
    refused = rcig("visualize", "run_1", "--stored", "--store", store)
    one_sentence(refused, 2, "run_1 is a raw set: it stores its images, which --grid shows")


def test_the_report_of_a_parametrized_set(rcig, store, tmp_path):
    assert rcig("report", "basis", "--out", tmp_path / "r.html", "--store", store).code == 0
    page = (tmp_path / "r.html").read_text()
    assert "<title>basis: 3 images per class of digits in the bytes of 1 (basis)</title>" in page
    assert "<dt>stored</dt><dd>736 bytes</dd>" in page
    assert "What is stored" in page
    assert page.count("data:image/png") == 3


def test_a_store_with_parametrized_sets_is_intact_and_they_can_be_removed(rcig, store, tmp_path):
    copy = shutil.copytree(store, tmp_path / "a")
    assert rcig("verify", "--store", copy, "--json").json["ok"] is True
    (damaged,) = (copy / "runs" / "multi" / "distilled.zarr" / "grids").rglob("c/*/*/*/*")
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (problem,) = rcig("verify", "multi", "--store", copy, "--json").json["problems"]
    assert "grids" in problem["path"]
    assert rcig("rm", "multi", "--yes", "--store", copy).code == 0
    assert rcig("gc", "--yes", "--store", copy).code == 0
    assert not (copy / "runs" / "multi").exists()
