"""MATLAB's files: SVHN, and others with images and labels."""

import numpy as np
import pytest
from scipy.io import savemat

from rcig_cli.data.matlab import matlab_arrays
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.downloads import example_splits, write_svhn
from tests.data.examples import assert_same, pixels, whole

LABELS = np.arange(40) % 3


@pytest.fixture
def splits():
    return example_splits(10, 60, 20, 32, 32, 3)


@pytest.mark.parametrize("compressed", [True, False])
def test_svhn_as_it_is_published(tmp_path, splits, compressed):
    write_svhn(tmp_path, splits, compressed)
    (tmp_path / "extra_32x32.mat").write_bytes(b"")
    source = open_source("svhn", tmp_path)
    assert_same(source, splits)
    assert source.class_names == tuple("0123456789")
    texts = [note.text for note in source.notes]
    assert "Not used: extra_32x32.mat." in texts
    assert "The label 10 is the digit 0." in texts
    assert open_source("svhn", tmp_path / "train_32x32.mat").sizes == {"train": 48, "test": 12}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8", "i8"])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_other_arrays(tmp_path, channels, dtype, compressed):
    images = pixels(40, 9, 7, *channels)
    content = {
        "images": np.moveaxis(images, 0, -1).astype(dtype),
        "labels": LABELS + 1.0,
        "note": "what it is",
        "cells": np.array([[1, "a"]], object),
    }
    savemat(tmp_path / "own.mat", content, do_compression=compressed)
    arrays = matlab_arrays(tmp_path / "own.mat")
    assert sorted(arrays) == ["images", "labels"]
    blocks = np.concatenate(list(arrays["images"].blocks(7)))
    assert (blocks == content["images"].T).all()
    source = open_source("own", tmp_path / "own.mat")
    found = np.concatenate([whole(source, split).images for split in ("train", "test")])
    middle = images[:, 1:8].reshape(40, -1)
    assert {row.tobytes() for row in found.reshape(40, -1)} == {row.tobytes() for row in middle}
    assert source.class_names == ("1", "2", "3")


def test_svhn_without_labels(tmp_path):
    savemat(tmp_path / "train_32x32.mat", {"X": pixels(32, 32, 3, 5), "y": np.zeros((0, 0))})
    with pytest.raises(ConfigError, match=r"shape \(32, 32, 3, 5\) for 0 labels"):
        open_source("svhn", tmp_path)


def test_what_is_not_read(tmp_path):
    path = tmp_path / "own.mat"
    savemat(path, {"X": pixels(40, 6, 6, 3), "y": LABELS})
    with pytest.raises(ConfigError, match=r"shape \(40, 6, 6, 3\) for 40 labels: images in MATLAB's"):
        open_source("own", path)
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM" + bytes(100))
    with pytest.raises(ConfigError, match="save it with -v7"):
        open_source("own", path)
    path.write_bytes(b"\0" * 200)
    with pytest.raises(Corrupt, match="not a MATLAB file of version 5"):
        open_source("own", path)
    savemat(path, {"X": pixels(6, 6, 3, 40) * 1j, "y": LABELS})
    with pytest.raises(ConfigError, match="does not hold real numbers"):
        open_source("own", path)


@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_files_are_refused(tmp_path, splits, compressed):
    path = write_svhn(tmp_path, splits, compressed) / "test_32x32.mat"
    content = path.read_bytes()
    for kept in range(0, len(content), 1777):
        path.write_bytes(content[:kept])
        with pytest.raises((Corrupt, ConfigError)):
            whole(open_source("own", tmp_path), "test")
    if compressed:
        path.write_bytes(content[:5000] + bytes([content[5000] ^ 16]) + content[5001:])
        with pytest.raises(Corrupt, match="damaged"):
            whole(open_source("own", tmp_path), "test")
