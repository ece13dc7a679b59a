"""Prepare downloads with the command: what it prints, and its exit codes."""

import numpy as np
import pytest

from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.store import open_store
from tests.data.downloads import (
    example_splits,
    write_cifar10_binary,
    write_cifar10_python,
    write_idx,
    write_tiny_imagenet,
)


def test_two_versions_of_one_download_give_the_same_arrays(rcig, tmp_path):
    splits = example_splits(10, 60, 20, 32, 32, 3)
    stores = {}
    for name, write in (("binary", write_cifar10_binary), ("python", write_cifar10_python)):
        store = tmp_path / f"store_{name}"
        done = rcig(
            "prepare", "cifar10", "--from", write(tmp_path / name, splits), "--store", store, "--json"
        )
        assert done.code == 0
        assert (done.json["train"], done.json["classes"], done.json["whitened"]) == (60, 10, True)
        assert f"is read as CIFAR-10, {name} version." in done.err
        assert "50000 and 10000" in done.err
        stores[name] = open_prepared(open_store(store, create=False), "cifar10")
    for split in ("train", "test"):
        for one, other in zip(stores["binary"].split(split), stores["python"].split(split), strict=True):
            assert one.tobytes() == other.tobytes()
    assert stores["binary"].manifest.class_names[0] == "airplane"
    pixels = stores["python"].whitening().invert(stores["python"].split("test")[0])
    assert np.abs(pixels - splits["test"][0]).max() < 0.5


def test_class_names_are_stored(rcig, tmp_path):
    folder = write_tiny_imagenet(tmp_path / "tiny", ("n00000001", "n00000002"), 4, 2, side=8)
    assert rcig("prepare", "tiny_imagenet", "--from", folder, "--store", tmp_path / "a", "--json").code == 0
    found = open_store(tmp_path / "a", create=False).dataset("tiny_imagenet")
    assert found.class_names == ("word 0", "word 1")


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"\x80\x02cposix\nsystem\nU\x0ctouch /tmp/x\x85R.", 2, "which is never loaded"),
        (b"\x80\x02}(U\x04dataT\xff\xff\xff\x7f", 5, "cut short"),
        (b"", 5, "cut short"),
    ],
)
def test_damaged_and_hostile_batches_are_refused(rcig, tmp_path, content, code, sentence):
    folder = write_cifar10_python(tmp_path / "py", example_splits(10, 50, 10, 32, 32, 3))
    (folder / "data_batch_2").write_bytes(content)
    done = rcig("prepare", "cifar10", "--from", folder, "--store", tmp_path / "a", "--json")
    assert done.code == code
    assert sentence in done.json["error"]["message"]
    assert not (tmp_path / "a" / "datasets" / "cifar10").exists()


def test_a_missing_file_exits_with_3(rcig, tmp_path):
    folder = write_idx(tmp_path / "mnist", example_splits(10, 20, 10, 28, 28, 1))
    (folder / "t10k-images-idx3-ubyte").unlink()
    done = rcig("prepare", "mnist", "--from", folder, "--store", tmp_path / "a")
    assert done.code == 3
    assert "t10k-images-idx3-ubyte" in done.err


def test_a_data_set_that_must_be_downloaded_by_hand(rcig, tmp_path):
    done = rcig("prepare", "imagewoof", "--store", tmp_path / "a")
    assert done.code == 2
    assert "rcig prepare imagewoof --from imagewoof2" in " ".join(done.err.split())
