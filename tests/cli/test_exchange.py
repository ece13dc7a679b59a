"""``rcig import`` and ``rcig export``, as a user types them."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from types import SimpleNamespace
from unittest.mock import ANY

import numpy as np
import pytest

from rcig_cli.data.exchange.parquet import ROWS
from rcig_cli.reporting.commands import import_command
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.store.arrays import read_array
from rcig_cli.store.digests import mismatches, sha256_of_file
from rcig_cli.store.store import open_store
from tests.cli.test_errors import one_sentence
from tests.data.examples import natural_images
from tests.data.exchange_sets import WRITABLE, published_state, same_bits

FORMATS = {name: form.suffix for name, form in WRITABLE.items()}


@pytest.fixture
def store(digits_run, tmp_path):
    """A copy of a store with digits and `run_1`."""
    return shutil.copytree(digits_run, tmp_path / "a")


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A store with two data sets in colour of three classes, not to be changed.

    The whitening of `pets` is stored as dense matrices; `few` has fewer images than an image has numbers, so
    its whitening is stored as a low-rank basis.
    """
    from rcig_cli.cli.app import main

    root = tmp_path_factory.mktemp("pets")
    names = np.array(["cat", "dog", "T-shirt/top"])
    for name, train in (("pets", 210), ("few", 90)):
        images, labels = natural_images(train + 30, 8, 3), np.arange(train + 30) % 3
        np.savez(root / f"{name}.npz", x_train=images[:train], y_train=labels[:train],
                 x_test=images[train:], y_test=labels[train:], class_names=names)  # fmt: skip
        with pytest.raises(SystemExit) as left:
            main(
                ["prepare", name, "--from", str(root / f"{name}.npz"), "--store", str(root / "a"), "--quiet"]
            )
        assert left.value.code == 0
    return root / "a"


def product(store, run):
    path = open_store(store, create=False).run_path(run) / "distilled.zarr"
    return {name: read_array(path, name) for name in ("images", "labels", "classes")}


def equal(ours, theirs):
    return all(same_bits(ours[name], theirs[name]) for name in ours)


def checkpoint(path, classes, shape, ipc=2, seed=0):
    """A file in the published layout, of random arrays."""
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(classes * ipc, *shape)).astype(np.float32)
    labels = np.repeat(np.eye(classes, dtype=np.float32), ipc, axis=0) - np.float32(1 / classes)
    labels += rng.normal(size=labels.shape).astype(np.float32) / 100
    path.write_bytes(published_state(images, labels))
    return images, labels


def test_a_published_checkpoint_is_imported_evaluated_and_shown(rcig, store, tmp_path, monkeypatch):
    images, labels = checkpoint(tmp_path / "Checkpoint_9.best", 10, (8, 8, 1))
    done = rcig("import", tmp_path / "Checkpoint_9.best", "--dataset", "digits", "--store", store, "--json")
    assert done.json == {
        "run": "checkpoint_9",
        "status": "finished",
        "step": 0,
        "dataset": "digits",
        "ipc": 2,
        "space": "whitened",
        "index": None,
        "assumptions": [{"about": "range", "text": ANY}],
    }
    found = product(store, "checkpoint_9")
    assert same_bits(found["images"], images)
    assert same_bits(found["labels"], labels)
    tiny = ("--networks", 1, "--steps", 3, "--width", 4)
    evaluated = rcig("evaluate", "checkpoint_9", *tiny, "--store", store, "--json")
    assert evaluated.code == 0
    assert 0 <= evaluated.json["evaluations"][0]["accuracy"]["mean"] <= 1
    assert evaluated.json["evaluations"][0]["random_subset"]["values"]
    shown = rcig("show", "checkpoint_9", "--store", store, "--json").json
    digest = sha256_of_file(tmp_path / "Checkpoint_9.best")
    assert shown["parents"]["file"] == {"name": "Checkpoint_9.best", "digest": digest}
    assert shown["config"]["ipc"] == 2
    assert len(shown["evaluations"]) == 1
    text = rcig("show", "checkpoint_9", "--store", store).out
    assert "imported from Checkpoint_9.best\n" in text
    assert done.json["assumptions"][0]["text"] in text
    monkeypatch.setenv("COLUMNS", "30")
    assert "imported from Checkpoint_9.best" in rcig("list", "--store", store).out
    assert rcig("visualize", "checkpoint_9", "--store", store).code == 0
    assert rcig("report", "checkpoint_9", "--out", tmp_path / "r.html", "--store", store).code == 0
    report = (tmp_path / "r.html").read_text()
    assert "Those of its distillation are not known" in report
    assert "image_lr" not in report
    assert "checkpoint_9" in [run["run"] for run in rcig("list", "--store", store, "--json").json["runs"]]
    manifest = open_store(store, create=False).run("checkpoint_9")
    assert mismatches(store / "runs" / "checkpoint_9", manifest.files) == {}


@pytest.mark.parametrize("form", FORMATS)
def test_an_exported_set_is_imported_again(rcig, store, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    done = rcig("export", "run_1", "--format", form, "--store", store, "--json")
    assert done.json == {"run": "run_1", "format": form, "files": [f"run_1{FORMATS[form]}"]}
    assert ("8 bits" in done.err) == (form == "png")
    back = rcig("import", f"run_1{FORMATS[form]}", "--dataset", "digits", "--store", store, "--json")
    assert back.code == 0
    assert "Warning" not in back.err
    ours, theirs = product(store, "run_1"), product(store, back.json["run"])
    assert same_bits(ours["labels"], theirs["labels"])
    if form != "png":
        assert equal(ours, theirs)


@pytest.mark.parametrize(
    ("dataset", "form"), [("pets", "npz"), ("few", "npz"), ("few", "safetensors"), ("pets", "png")]
)
def test_colour_images_and_their_whitening(rcig, pets, tmp_path, dataset, form):
    store = shutil.copytree(pets, tmp_path / "a")
    checkpoint(tmp_path / "frepo", 3, (8, 8, 3))
    rcig("import", tmp_path / "frepo", "--dataset", dataset, "--store", store)
    assert rcig("export", "frepo", "--format", form, "--out", tmp_path / "x", "--store", store).code == 0
    back = rcig("import", tmp_path / "x", "--dataset", dataset, "--store", store)
    assert back.code == 0
    assert back.err == f"Next: rcig evaluate x --store {store}\n"
    if form != "png":
        assert equal(product(store, "frepo"), product(store, "x"))
    for run in ("frepo", "x"):
        rcig("export", run, "--out", tmp_path / f"{run}.npz", "--store", store)
    with np.load(tmp_path / "frepo.npz") as first, np.load(tmp_path / "x.npz") as again:
        assert same_bits(first["pixels"], again["pixels"])
        assert first["class_names"].tolist() == ["cat", "dog", "T-shirt/top"]
        if dataset == "pets":
            matrix, inverse = first["whitening_matrix"], first["whitening_inverse"]
        else:
            basis, eigenvalues = first["whitening_basis"], first["whitening_eigenvalues"]
            matrix = np.eye(192) + basis * (eigenvalues**-0.5 - 1) @ basis.T
            inverse = np.eye(192) + basis * (eigenvalues**0.5 - 1) @ basis.T
        assert matrix @ inverse == pytest.approx(np.eye(192), abs=1e-3)


def test_the_digest_of_a_parquet_file_is_its_sha256(rcig, pets, tmp_path):
    store = shutil.copytree(pets, tmp_path / "a")
    checkpoint(tmp_path / "frepo", 3, (8, 8, 3))
    rcig("import", tmp_path / "frepo", "--dataset", "pets", "--store", store)
    rcig("export", "frepo", "--format", "parquet", "--out", tmp_path / "x", "--store", store)
    file = tmp_path / "x" / ROWS
    assert rcig("import", file, "--dataset", "pets", "--name", "again", "--store", store).code == 0
    parents = open_store(store, create=False).run("again").parents
    assert parents["file"] == {"name": file.name, "digest": sha256_of_file(file)}


def test_a_different_whitening_gives_a_warning(rcig, pets, tmp_path):
    store = shutil.copytree(pets, tmp_path / "a")
    checkpoint(tmp_path / "frepo", 3, (8, 8, 3))
    rcig("import", tmp_path / "frepo", "--dataset", "pets", "--store", store)
    rcig("export", "frepo", "--out", tmp_path / "x.npz", "--store", store)
    source = pets.parent / "pets.npz"
    rcig("prepare", "plain", "--from", source, "--no-zca", "--store", store)
    done = rcig("import", tmp_path / "x.npz", "--dataset", "plain", "--store", store)
    assert done.code == 0
    assert "whitened differently from plain in this store" in done.err
    from_authors = rcig("import", tmp_path / "frepo", "--dataset", "plain", "--store", store)
    assert "plain was prepared without ZCA" in from_authors.err
    assert "whitened differently" not in rcig(
        "import", tmp_path / "x.npz", "--dataset", "pets", "--store", store
    ).err  # fmt: skip


def test_a_set_of_dc_is_imported_in_natural_colours(rcig, pets, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch isn't installed; it is no dependency of rcig")
    store = shutil.copytree(pets, tmp_path / "a")
    rcig("prepare", "cifar10", "--from", pets.parent / "pets.npz", "--store", store)
    pixels = natural_images(6, 8, 3)
    images = (pixels / 255 - [0.4914, 0.4822, 0.4465]) / [0.2023, 0.1994, 0.2010]
    pair = [torch.from_numpy(images).float().permute(0, 3, 1, 2), torch.arange(3).repeat_interleave(2)]
    content = {"data": [[pair[0] * 2, pair[1]], pair], "accs_all_exps": {"ConvNet": [np.float64(0.3)]}}
    torch.save(content, tmp_path / "res_DC.pt")
    line = ("import", tmp_path / "res_DC.pt", "--dataset", "cifar10", "--store", store)
    one_sentence(rcig(*line), 2, "has 2 distilled sets: choose one with --index, from 0 to 1")
    one_sentence(rcig(*line, "--index", 1), 2, "add --space whitened", "dc-normalized (DC, DSA, DM;")
    done = rcig(*line, "--index", 1, "--space", "dc-normalized", "--json")
    assert done.json["space"] == "dc-normalized"
    assert done.json["index"] == 1
    assert [each["about"] for each in done.json["assumptions"]] == ["classes", "layout"]
    assert "read as [n, c, H, W]" in done.err
    rcig("export", "res_dc", "--out", tmp_path / "x.npz", "--store", store)
    with np.load(tmp_path / "x.npz") as exported:
        assert same_bits(exported["pixels"], pixels)
    recorded = rcig("show", "res_dc", "--store", store, "--json").json["imported_as"]
    assert recorded["options"] == {"space": "dc-normalized", "index": 1, "class_names": None}
    command = "rcig import res_DC.pt --index 1 --space dc-normalized --dataset cifar10 --name res_dc"
    assert import_command(open_store(store, create=False).run("res_dc")) == command


def test_images_whitened_by_kornia_are_imported_in_natural_colours(rcig, pets, tmp_path):
    store = shutil.copytree(pets, tmp_path / "a")
    with np.load(pets.parent / "pets.npz") as source:
        real, pixels = source["x_train"], source["x_test"][:6]
    rows = real.reshape(len(real), -1) / 255
    vectors, values, _ = np.linalg.svd(np.cov(rows, rowvar=False))
    whitened = (pixels.reshape(6, -1) / 255 - rows.mean(0)) @ (vectors / np.sqrt(values + 0.1)) @ vectors.T
    images = whitened.reshape(pixels.shape).astype(np.float32)
    np.savez(tmp_path / "mtt.npz", images=images, labels=np.arange(6) // 2)
    line = ("import", tmp_path / "mtt.npz", "--dataset", "pets", "--space", "kornia-zca", "--store", store)
    assert "fitted to the 210 training images of pets" in rcig(*line).err
    rcig("export", "mtt", "--out", tmp_path / "x.npz", "--store", store)
    with np.load(tmp_path / "x.npz") as exported:
        assert same_bits(exported["pixels"], pixels)


def test_class_names_in_a_file(rcig, pets, tmp_path):
    store = shutil.copytree(pets, tmp_path / "a")
    images, _ = checkpoint(tmp_path / "frepo", 3, (8, 8, 3))
    (tmp_path / "names.txt").write_text("dog\nT-shirt/top\n\ncat\n")
    line = ("import", tmp_path / "frepo", "--dataset", "pets", "--store", store)
    done = rcig(*line, "--class-names", tmp_path / "names.txt", "--json")
    assert same_bits(product(store, "frepo")["images"], images[[4, 5, 0, 1, 2, 3]])
    assert "put in the order of pets" in done.json["assumptions"][-1]["text"]
    one_sentence(rcig(*line, "--class-names", tmp_path / "none.txt"), 3, "no file or folder")
    (tmp_path / "names.txt").write_text("\n")
    one_sentence(rcig(*line, "--class-names", tmp_path / "names.txt"), 2, "is empty: write the name")
    (tmp_path / "names.txt").write_bytes("Z\u00fcrich".encode("latin-1"))
    one_sentence(rcig(*line, "--class-names", tmp_path / "names.txt"), 2, "is not text in UTF-8")


@pytest.mark.parametrize(
    ("parametrization", "form"), [("raw", "npz"), ("basis", "npz"), ("raw", "parquet"), ("raw", "png")]
)
def test_a_set_of_some_classes_is_imported_as_one(rcig, store, tmp_path, parametrization, form):
    made = rcig(
        *("distill", "digits", "--classes", "8,3", "--ipc", 2, "--parametrization", parametrization),
        *("--algorithm", "dm", "--no-siamese", "--width", 4, "--batch", 8, "--steps", 2),
        *("--store", store, "--json"),
    ).json["run"]
    path = tmp_path / "some"
    assert rcig("export", made, "--out", path, "--format", form, "--store", store).code == 0
    back = rcig("import", path, "--dataset", "digits", "--store", store, "--json")
    assert back.code == 0, back.err
    assert "some has 2 of the 10 classes of digits (8, 3), and is imported" in back.err
    opened = open_store(store, create=False)
    assert opened.run("some").config["classes"] == "8,3"
    first, second = (open_distilled(opened, run) for run in (made, "some"))
    assert same_bits(first.labels, second.labels)
    assert form == "png" or equal(first.stored, second.stored)
    line = ("--width", 4, "--networks", 1, "--steps", 20, "--baseline", "none", "--store", store, "--json")
    (found,) = rcig("evaluate", "some", *line).json["evaluations"]
    assert found["images"] == len(first.images)


def test_names_of_imported_runs(rcig, store, tmp_path):
    def imported(file, *flags):
        path = tmp_path / file
        checkpoint(path, 10, (8, 8, 1), ipc=1)
        return rcig("import", path, "--dataset", "digits", "--store", store, *flags, "--json").json

    assert imported("run_1.ckpt")["run"] == "imported-run-1"
    assert imported("run_1.ckpt")["run"] == "imported-run-1-2"
    assert imported("run-2")["run"] == "imported-run-2"
    assert imported("digits")["run"] == "digits-2"  # digits is the data set
    assert imported("Ångström (best).msgpack")["run"] == "ngstr-m-best"
    assert imported("...")["run"] == "imported"
    assert imported("set", "--name", "frepo")["run"] == "frepo"
    for wanted, said in (
        ("frepo", "There is a run frepo already"),
        ("digits", "is the name of a data set in this store"),
        ("run_7", "begin with run_, sweep_ or sequence_"),
        ("sweep_7", "begin with run_, sweep_ or sequence_"),
        ("../x", "is not a valid name"),
    ):
        error = imported("set", "--name", wanted)["error"]
        assert error["code"] == 2
        assert said in error["message"]


def test_an_imported_run_cannot_be_resumed(rcig, store, tmp_path):
    checkpoint(tmp_path / "frepo", 10, (8, 8, 1), ipc=1)
    rcig("import", tmp_path / "frepo", "--dataset", "digits", "--store", store)
    for line in (["--resume=frepo"], ["--resume", "frepo"], ["--resume", "frepo", "--ipc", 1]):
        outcome = rcig("distill", *line, "--store", store)
        one_sentence(outcome, 2, "frepo was imported from frepo", "rcig distill digits --ipc 1")


def test_an_imported_run_is_not_used_as_a_distilled_run_of_the_same_settings(rcig, store, tmp_path):
    from rcig_cli.runs.configuration import resolved
    from rcig_cli.runs.distill.group import RunGroup
    from rcig_cli.runs.distill.resume import newest_of
    from rcig_cli.runs.prepare.prepared import open_prepared
    from rcig_cli.runs.sweep.table import keys_of
    from rcig_cli.store.documents import canonical

    checkpoint(tmp_path / "frepo", 10, (8, 8, 1), ipc=1)
    rcig("import", tmp_path / "frepo", "--dataset", "digits", "--store", store)
    opened = open_store(store, create=False)
    run, dataset = opened.run("frepo"), opened.dataset("digits")
    config = resolved(open_prepared(opened, "digits"), {"ipc": 1})
    assert run.config == config.to_json()
    assert newest_of(opened, config, dataset.digest) is None
    sweep = SimpleNamespace(kind="sweep", parents={"digits": run.parents["dataset"]}, as_parent="another")
    keys = [canonical(run.config), canonical(opened.run("run_1").config)]
    assert RunGroup(opened, sweep, keys, keys_of).names == {keys[1]: "run_1"}


ERRORS = [
    (("import", "{}/nothing", "--dataset", "digits"), 3, "no file or folder"),
    (("import", "{}/frepo"), 2, "--dataset"),
    (("import", "{}/frepo", "--dataset", "cifar10"), 3, "cifar10"),
    (("import", "{}/frepo", "--dataset", "digits"), 2, "but those of digits are (8, 8, 1)"),
    (
        ("import", "{}/frepo", "--dataset", "pets", "--space", "rgb"),
        2,
        "whitened, normalized, dc-normalized, kornia-zca, pixels",
    ),
    (("import", "{}/cut.npz", "--dataset", "pets"), 5, "cut.npz is damaged"),
    (("import", "{}/bare.npz", "--dataset", "pets"), 2, "--space whitened"),
    (("export", "run_9"), 3, "run_9"),
    (("export", "frepo", "--format", "zip"), 2, "dd-ranking, npz, parquet, png, safetensors, torch"),
    (("export", "frepo", "--out", "{}/a.npz", "--format", "torch"), 2, "has the ending of --format npz"),
    (
        ("export", "frepo", "--out", "{}/a.PT", "--format", "safetensors"),
        2,
        "has the ending of --format torch",
    ),
    (("export", "frepo", "--out", "{}/a.safetensors", "--format", "png"), 2, "--format safetensors"),
    (("export", "frepo", "--out", "{}/a.png"), 2, "--format png writes a folder"),
    (("export", "frepo", "--out", "{}/a.parquet", "--format", "parquet"), 2, "writes a folder"),
    (("export", "frepo", "--out", "{}/a.parquet", "--format", "npz"), 2, "--format parquet, not of npz"),
    (("export", "frepo", "--out", "{}/a.zip"), 2, "add --format"),
    (("export", "frepo", "--out", "-", "--format", "png"), 2, "png is a folder"),
    (("export", "frepo", "--out", "{}/frepo"), 2, "exists already"),
    (("export", "frepo", "--out", "{}", "--format", "png"), 2, "exists already"),
    (("export", "frepo", "--out", "{}/frepo/x.npz"), 1, "can't be written"),
]


def test_an_error_is_one_sentence_and_changes_nothing(rcig, pets, digits_run, tmp_path):
    store = shutil.copytree(pets, tmp_path / "a")
    shutil.copytree(digits_run / "datasets" / "digits", store / "datasets" / "digits")
    checkpoint(tmp_path / "frepo", 3, (8, 8, 3))
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(tmp_path / "bare.npz", images=np.zeros((3, 8, 8, 3)), labels=np.arange(3))
    rcig("import", tmp_path / "frepo", "--dataset", "pets", "--store", store)
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, code, message in ERRORS:
        outcome = rcig(*(argument.format(tmp_path) for argument in arguments), "--store", store)
        one_sentence(outcome, code, message)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        assert [path.name for path in (store / "runs").iterdir()] == ["frepo"]


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.safetensors", "safetensors"), ("b.NPZ", "npz"), ("c", "npz"), ("d.e/f", "npz")],
)
def test_the_ending_chooses_the_format(rcig, store, tmp_path, name, form):
    done = rcig("export", "run_1", "--out", tmp_path / name, "--store", store, "--json")
    assert done.json == {"run": "run_1", "format": form, "files": [str(tmp_path / name)]}
    assert rcig("import", tmp_path / name, "--dataset", "digits", "--store", store).code == 0


def test_a_set_is_written_to_stdout(store, tmp_path):
    line = [sys.executable, "-m", "rcig_cli", "export", "run_1", "--store", str(store)]
    done = subprocess.run([*line, "--out", "-"], capture_output=True, check=True, cwd=tmp_path)
    assert done.stderr == b""
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with np.load(io.BytesIO(done.stdout)) as found:
        assert same_bits(found["images"], product(store, "run_1")["images"])
    refused = subprocess.run([*line, "--out", "-", "--json"], capture_output=True, check=False)
    assert refused.returncode == 2
    assert "leave out --json" in json.loads(refused.stdout)["error"]["message"]
    with subprocess.Popen([*line, "--out", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as piped:
        piped.stdout.close()
        assert b"stdout can't be written" in piped.stderr.read()
    assert piped.returncode == 1
    master, terminal = pty.openpty()
    refused = subprocess.run([*line, "--out", "-"], stdout=terminal, stderr=subprocess.PIPE, check=False)
    os.close(terminal), os.close(master)
    assert refused.returncode == 2
    assert b"redirect it" in refused.stderr


def test_classes_of_unequal_size_are_exported_and_imported(rcig, store, tmp_path):
    rng = np.random.default_rng(0)
    classes = np.repeat(np.arange(10), [3, 1, 1, 1, 1, 1, 1, 1, 1, 2])
    images = rng.normal(size=(13, 8, 8, 1)).astype(np.float32)
    np.savez(tmp_path / "a.npz", images=images, labels=classes, space="whitened")
    done = rcig("import", tmp_path / "a.npz", "--dataset", "digits", "--store", store, "--json")
    assert done.json["ipc"] == [3, 1, 1, 1, 1, 1, 1, 1, 1, 2]
    rcig("export", "a", "--out", tmp_path / "b.npz", "--store", store)
    rcig("import", tmp_path / "b.npz", "--dataset", "digits", "--store", store)
    assert equal(product(store, "a"), product(store, "b"))
    assert same_bits(product(store, "b")["images"], images)


def test_an_export_that_fails_leaves_nothing(rcig, store, tmp_path, monkeypatch):
    import errno

    from rcig_cli.store import files

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_sync", full)
    for form in FORMATS:
        outcome = rcig("export", "run_1", "--format", form, "--out", tmp_path / "x", "--store", store)
        one_sentence(outcome, 1, "disk is full")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
