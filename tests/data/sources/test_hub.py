"""Data sets of the Hugging Face Hub, from a server on the loopback that answers as the Hub does."""

import io
import json
import sys

import numpy as np
import pyarrow.parquet
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError
from tests.data.formats.test_hugging_face import split
from tests.data.hub_server import commit_of, hub_for_tests
from tests.data.hugging_face_sets import example

huggingface_hub = pytest.importorskip("huggingface_hub")


def parquet(content):
    stream = io.BytesIO()
    pyarrow.parquet.write_table(content, stream)
    return stream.getvalue()


IMAGES, LABELS, CONTENT = example(20)
TRAIN, TEST = parquet(CONTENT), parquet(example(9, seed=1)[2])
SHARDS = {"data/train-00000-of-00001.parquet": TRAIN, "data/test-00000-of-00001.parquet": TEST}
CONVERTED = {"default/train/0000.parquet": TRAIN, "default/test/0000.parquet": TEST}
REPOSITORIES = {
    "owner/own": {"main": {"README.md": b"# A data set", **SHARDS}, "v1": {"train.parquet": TRAIN}},
    "owner/script": {"main": {"script.py": b"print('never run')"}, "refs/convert/parquet": CONVERTED},
    "owner/several": {
        "main": {
            f"{size}/{which}.parquet": TRAIN for size in ("160px", "320px") for which in ("train", "test")
        }
    },
    "owner/none": {"main": {"notes.txt": b""}},
    "owner/gated": "GatedRepo",
    "owner/damaged": {"main": {"train.parquet": TRAIN[:-100]}},
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The server; its address and an own cache are set where the library looks for them."""
    with hub_for_tests(REPOSITORIES, tmp_path / "cache", monkeypatch) as server:
        yield server


class Listener:
    def __init__(self):
        self.calls = []

    def note(self, sentence):
        raise AssertionError(sentence)

    def progress(self, label, done, total):
        self.calls.append((label, done, total))


def test_a_data_set_of_the_hub(hub, capfd):
    listener = Listener()
    source = open_source("own", "hf:owner/own", listener=listener)
    found, classes = split(source, "train")
    np.testing.assert_array_equal(found, IMAGES)
    assert classes == [("cat", "dog", "frog")[label] for label in LABELS]
    assert source.sizes == {"train": 20, "test": 9}
    assert source.origin == {
        "repository": "owner/own",
        "commit": commit_of(REPOSITORIES["owner/own"]["main"]),
    }
    commit = source.origin["commit"][:12]
    assert source.notes[0].text == f"hf:owner/own, commit {commit}, is read as a Hugging Face data set."
    assert listener.calls[-1] == ("owner/own (MB)", 1, 1)
    assert capfd.readouterr() == ("", "")


def test_one_of_several_data_sets_and_a_revision(hub):
    with pytest.raises(ConfigError, match=r"holds 2 data sets, in 160px, 320px: .* hf:owner/several/160px"):
        open_source("own", "hf:owner/several")
    assert not any("/resolve/" in request for request in hub.requests)
    assert open_source("own", "hf:owner/several/320px").sizes == {"train": 20, "test": 20}
    assert not any("160px" in request for request in hub.requests)
    assert open_source("own", "hf:owner/own@v1").sizes == {"train": 16, "test": 4}


def test_the_files_that_the_hub_converted(hub):
    source = open_source("own", "hf:owner/script")
    assert source.sizes == {"train": 20, "test": 9}
    assert source.origin["commit"] == commit_of(CONVERTED)
    assert not any("script.py" in request for request in hub.requests)


def test_without_connection_the_cache_is_used(hub, monkeypatch):
    for origin in ("hf:owner/own", "hf:owner/script"):
        before = open_source("own", origin)
        with monkeypatch.context() as offline:
            offline.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
            again = open_source("own", origin)
        assert (again.sizes, again.origin) == (before.sizes, before.origin)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(RcigError, match=r"owner/several could not be downloaded .* not in its cache"):
        open_source("own", "hf:owner/several")


@pytest.mark.parametrize(
    ("origin", "kind", "message"),
    [
        ("hf:owner/missing", NotFound, "has no data set owner/missing"),
        ("hf:owner/own@v2", NotFound, "no such branch, tag or commit"),
        ("hf:owner/gated", ConfigError, "Access to owner/gated must be requested"),
        ("hf:owner/none", ConfigError, "owner/none has no Parquet files"),
        ("hf:owner/own/other", ConfigError, "no Parquet files in other"),
        ("hf:owner/damaged", Corrupt, "damaged"),
        ("hf:", ConfigError, "pass hf:OWNER/NAME"),
        ("hf:https://huggingface.co/datasets/owner/own", ConfigError, "pass hf:OWNER/NAME"),
        ("hf:owner/../own", ConfigError, "pass hf:OWNER/NAME"),
        ("hf:owner--name/own", ConfigError, "is not a name that the Hugging Face Hub allows"),
    ],
)
def test_what_is_not_there_is_said(hub, origin, kind, message):
    with pytest.raises(RcigError, match=message) as caught:
        open_source("own", origin)
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


def test_no_server(hub, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError("Connection refused")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", refuse)  # which would try for 20 seconds
    with pytest.raises(
        RcigError, match=r"owner/own could not be downloaded .*Connection refused.*: check the connection"
    ):
        open_source("own", "hf:owner/own")


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", None)
    with pytest.raises(ConfigError, match=r"pip install 'rcig-cli\[hub\]'"):
        open_source("own", "hf:owner/own")


def test_the_command_records_the_commit(hub, rcig, tmp_path):
    done = rcig("prepare", "hf:owner/own", "--store", tmp_path / "store", "--json")
    assert done.code == 0, done.err
    assert (done.json["dataset"], done.json["train"], done.json["test"]) == ("own", 20, 9)
    manifest = json.loads((tmp_path / "store" / "datasets" / "own" / "manifest.json").read_text())
    assert manifest["source"]["from"] == "hf:owner/own"
    assert manifest["source"]["commit"] == commit_of(REPOSITORIES["owner/own"]["main"])
