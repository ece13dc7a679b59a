"""Damaged and malicious files are refused with one sentence, and without the memory that they ask for."""

import json
import os
import struct
import sys
import tracemalloc
import zipfile

import flax.serialization  # noqa: F401 - the memory of importing it is not to be measured
import msgpack
import numpy as np
import pytest

from rcig_cli.data.exchange import torch_file
from rcig_cli.data.exchange.formats import EXPORTS, read_file
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from tests.data.examples import npy_header, png_bytes
from tests.data.exchange_sets import dataset_info, exported_set, read, write

GIVEN = exported_set()
HUGE = (10**12, 4, 4, 3)
MOST_MEMORY = 4 * 2**20  # bytes


def refused(path, error, message):
    """Check that a path is refused in one sentence, within little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(RcigError, match=message) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    assert peak < MOST_MEMORY


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npz(images):
    """Write an archive whose member ``images`` has the given bytes."""

    def make(path):
        with path.open("wb") as stream:
            np.savez(stream, labels=np.arange(3), space=np.array("whitened"))
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("images.npy", images)

    return make


def state(shape, data, name="float32"):
    """A checkpoint with an array that declares a shape and a type."""
    array = msgpack.ExtType(1, msgpack.packb((shape, name, data)))
    return msgpack.packb({"ema_average": {"x_proto": array, "y_proto": array}})


def safetensors(header):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        # npz: sizes that the file doesn't have, more images than a set can have
        (npz(npy_header(HUGE)), Corrupt, "isn't as large as its header says"),
        (npz(npy_header((10**5, 4, 4, 3)) + bytes(192 * 10**5)), ConfigError, "100000 images, .* 1 to 60"),
        # Flax: sizes and types
        (state(HUGE, b""), Corrupt, "cut short, damaged"),
        (state((1,), bytes(8), "object"), Corrupt, "cut short, damaged"),
        (state((1,), bytes(8), "complex64"), ConfigError, "shape \\(\\)"),
        (b"\x81\xa7x_proto\xc9" + struct.pack(">I", 2**31) + b"\x01", Corrupt, "cut short"),
        (b"\x81\xa1a" + b"\x91" * 10**6, Corrupt, "cut short"),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", Corrupt, "cut short"),
        (msgpack.packb({"params": {"x_proto": [0] * 9}}), ConfigError, "isn't a checkpoint of RCIG"),
        # the others
        (
            safetensors({"images": {"dtype": "F32", "shape": HUGE, "data_offsets": [0, 192 * 10**12]}}),
            Corrupt,
            "not a .safetensors",
        ),
        (b"\xff" * 7 + b"\x7f{}", Corrupt, "not a .safetensors"),
        (b"PAR1" + b"\xff" * 20 + b"\xff\xff\xff\x7fPAR1", Corrupt, "not a Parquet"),
        (b"hello", ConfigError, "none of the formats that are imported"),
    ],
)
def test_a_malicious_file_is_refused(tmp_path, content, error, message):
    path = tmp_path / "file"
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    refused(path, error, message)


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".safetensors", ".parquet"])
def test_an_empty_file_is_damaged(tmp_path, suffix):
    (tmp_path / f"empty{suffix}").touch()
    refused(tmp_path / f"empty{suffix}", Corrupt, "damaged")


def test_a_missing_path_or_a_pipe_is_refused(tmp_path):
    refused(tmp_path / "nothing", NotFound, "no file or folder")
    os.mkfifo(tmp_path / "pipe.npz")
    refused(tmp_path / "pipe.npz", ConfigError, "not a regular file")
    (tmp_path / "set" / "data").mkdir(parents=True)
    os.mkfifo(tmp_path / "set" / "data" / "train.parquet")
    refused(tmp_path / "set", ConfigError, "pictures in 0 folders")


TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n."


def test_a_pt_file_with_a_large_pickle_is_refused(tmp_path):
    zipped(tmp_path / "a.pt", {"a/data.pkl": bytes(2**21)})
    refused(tmp_path / "a.pt", ConfigError, "far more than two tensors")


def test_without_pytorch_an_export_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ConfigError, match="--format torch needs PyTorch: install it with `pip install torch`"
    ):
        EXPORTS["torch"].write(tmp_path / "a.pt", GIVEN)
    assert list(tmp_path.iterdir()) == []


def test_without_pytorch_a_pt_file_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    zipped(tmp_path / "a.pt", {"a/data.pkl": TENSOR})
    refused(tmp_path / "a.pt", ConfigError, "pip install torch")


class Sparse:
    """Stands in for a sparse tensor."""

    dtype = "torch.float32"

    def __init__(self, shape):
        self.shape = shape

    def detach(self):
        return self

    def contiguous(self):
        raise TypeError("can't convert Sparse layout tensor to numpy")


def test_a_sparse_tensor_is_refused(tmp_path, monkeypatch):
    zipped(tmp_path / "a.pt", {"a/data.pkl": TENSOR})
    content = {"images": Sparse((6, 4, 4, 3)), "labels": Sparse((6, 3)), "space": "whitened"}
    monkeypatch.setattr(torch_file, "_load", lambda _: content)
    refused(tmp_path / "a.pt", ConfigError, r"a\.pt has a tensor that isn't an array: can't convert Sparse")


def split(path, *parts):
    for part in parts:
        (path / part).mkdir()
        EXPORTS["png"].write(path / part, GIVEN)


def link_out(path):
    (path / "0" / "00000.png").unlink()
    (path / "0" / "00000.png").symlink_to("/etc/passwd")


def link_out_and_in(path):
    link_out(path)
    (path / "1").rename(path / "2" / "inside")
    (path / "1").symlink_to(path / "2" / "inside")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (link_out, ConfigError, "don't lead to a file in it"),
        (link_out_and_in, ConfigError, r"can't be imported as it is\. Links in .* \(.*0/00000\.png.*\)"),
        (lambda p: (p / "1").rename(p / "one"), ConfigError, "must be those of the class folders"),
        (lambda p: (p / "0" / "00000.png").unlink(), ConfigError, "must have the arrays"),
        (lambda p: (p / "0" / "00000.png").write_bytes(png_bytes(60000, 60000)), ConfigError, "too large"),
        (lambda p: (p / "0" / "00000.png").write_bytes(png_bytes(8, 4)), ConfigError, "4 x 8 pixels"),
        (lambda p: (p / "0" / "00000.png").write_bytes(png_bytes(4, 4)), Corrupt, "damaged"),
        (lambda p: (p / "labels.npz").write_bytes(b"PK"), Corrupt, "damaged"),
        (
            lambda p: np.savez(
                p / "labels.npz", files=["../../x.png"] * 6, labels=GIVEN.labels, class_names=["a", "b", "c"]
            ),
            ConfigError,
            "must have the arrays",
        ),
        (
            lambda p: np.savez(p / "labels.npz", labels=GIVEN.labels, class_names=["a", "b", "c"]),
            ConfigError,
            "must have the arrays",
        ),
        (lambda p: np.savez(p / "labels.npz", labels=GIVEN.labels), ConfigError, "The class_names in"),
        (
            lambda p: (p / "0").rename(p / "1" / "train"),
            ConfigError,
            "The class_names in .* must be those of the class folders",
        ),
        (lambda p: split(p, "train", "test"), ConfigError, "pictures in 5 folders, but pets has 3 classes"),
    ],
)
def test_a_folder_of_pictures_that_is_damaged_or_does_not_fit_is_refused(tmp_path, change, error, message):
    path = write(tmp_path, "png", GIVEN)
    change(path)
    refused(path, error, message)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": [b"x"] * 3, "label": [0, 1, 2]}, "column 'image'"),
        ({"image": [{"bytes": b"x"}], "label": ["cat"]}, "picture 0 is damaged"),
        ({"label": [0.5]}, "column 'label'"),
        ({"label": [0] * 61}, "61 images, .* 1 to 60"),
        ({"soft_label": [[1.0] * 3, [1.0] * 4], "label": [0, 1]}, "column 'soft_label'"),
        ({"image": [{"bytes": bytes(10**7)}], "label": [0]}, "unpacks to 100"),
    ],
)
def test_parquet_columns_of_other_types_or_sizes_are_refused(tmp_path, columns, message):
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    with pytest.raises(RcigError, match=message):
        read_file(tmp_path / "a.parquet", dataset_info())


def test_a_parquet_folder_with_a_link_out_or_several_files_is_refused(tmp_path):
    given = write(tmp_path, "parquet", GIVEN)
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "a.parquet").symlink_to(given / "data" / "train-00000-of-00001.parquet")
    (tmp_path / "set" / "distilled.safetensors").symlink_to(given / "distilled.safetensors")
    refused(tmp_path / "set", ConfigError, "safetensors is a link that leads out of")
    (tmp_path / "set" / "distilled.safetensors").unlink()
    refused(tmp_path / "set", ConfigError, "parquet is a link that leads out of")
    (tmp_path / "set" / "data" / "b.parquet").touch()
    refused(tmp_path / "set", ConfigError, "has 2 Parquet files")
