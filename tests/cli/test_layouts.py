"""Prepare downloads with the command: what it prints, and its exit codes."""

import numpy as np

from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.store import open_store
from tests.data.downloads import (
    example_splits,
    write_cifar10_binary,
    write_cifar10_python,
    write_idx,
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


def test_a_missing_file_and_a_missing_download(rcig, tmp_path):
    folder = write_idx(tmp_path / "mnist", example_splits(10, 20, 10, 28, 28, 1))
    (folder / "t10k-images-idx3-ubyte").unlink()
    done = rcig("prepare", "mnist", "--from", folder, "--store", tmp_path / "a")
    assert done.code == 3
    assert "t10k-images-idx3-ubyte" in done.err
    done = rcig("prepare", "imagewoof", "--store", tmp_path / "a")
    assert done.code == 2
    assert "rcig prepare imagewoof --from imagewoof2" in " ".join(done.err.split())
