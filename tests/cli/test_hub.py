"""``rcig push`` and ``rcig import hf:``, with a server on the loopback that answers as the Hub does."""

import re
import shutil

import numpy as np
import pytest

import rcig_cli as rcig_api
from rcig_cli.reporting import dataset_card
from rcig_cli.reporting.commands import import_command
from rcig_cli.store.store import open_store
from tests.cli.test_errors import one_sentence
from tests.data.hub_server import READ, WRITE, commit_of, hub_for_tests

huggingface_hub = pytest.importorskip("huggingface_hub")
yaml = pytest.importorskip("yaml")  # which huggingface_hub needs
FILES = {"README.md", "data/train-00000-of-00001.parquet", "distilled.safetensors", "grid.png"}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    with hub_for_tests({}, tmp_path / "cache", monkeypatch) as server:
        yield server


@pytest.fixture
def store(example, tmp_path):
    """A store with an evaluated run_1 of the data set shapes."""
    return shutil.copytree(example, tmp_path / "store")


def test_push_and_import_round_trip(rcig, hub, store):
    done = rcig("push", "run_1", "someone/shapes-1", "--license", "cc-by-4.0", "--store", store, "--json")
    assert done.code == 0, done.err
    files = hub.repositories["someone/shapes-1"]["main"]
    address = f"http://127.0.0.1:{hub.server_port}/datasets/someone/shapes-1"
    assert done.json == {
        **{"run": "run_1", "repository": "someone/shapes-1", "address": address},
        "commit": commit_of(files),
    }
    assert files.keys() == FILES | {".gitattributes"}
    assert hub.messages == ["run_1: 1 image per class of shapes, 8 steps"]  # a single commit
    assert hub.private == set()

    hub.requests.clear()
    done = rcig("import", "hf:someone/shapes-1", "--dataset", "shapes", "--store", store, "--json")
    assert done.code == 0, done.err
    assert done.json["run"] == "shapes-1"
    assert [path for path in hub.requests if "/resolve/" in path][-1].endswith("/distilled.safetensors")
    assert not any("parquet" in path or "grid" in path for path in hub.requests)
    old, new = rcig_api.load("run_1", store=store), rcig_api.load("shapes-1", store=store)
    for name in ("images", "labels", "classes"):
        assert getattr(new, name).tobytes() == getattr(old, name).tobytes()
    origin = f"hf:someone/shapes-1@{commit_of(files)}"
    assert new.manifest.parents["file"]["name"] == origin
    assert import_command(new.manifest) == f"rcig import {origin} --dataset shapes --name shapes-1"
    done = rcig("push", "newest", "someone/again", "--store", store, "--json")
    assert done.json["run"] == "shapes-1", done.err
    assert hub.messages[-1] == "shapes-1: 1 image per class of shapes, imported"


def test_the_card_states_results_and_how_to_use_the_set(hub, store):
    folder = store.parent / "card"
    made = rcig_api.push("run_1", "someone/shapes-1", license="mit", out=folder, store=store)
    assert made == folder
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == FILES
    card = (folder / "README.md").read_text()
    head, body = card.removeprefix("---\n").split("---\n", 1)
    assert head.startswith('license: mit\npretty_name: "shapes, distilled to 2 images"\n')
    assert "size_categories:\n- n<1K\n" in head
    assert "- rcig-cli\n- rcig\nconfigs:" in head
    assert (
        "| convnet, width 2 | 50.0 % | 50.0 % | – | 1 network, 5 steps, seed 0, learning rate 0.0001 |"
        in body
    )
    assert "rcig distill shapes --ipc 1" in body
    assert "rcig import hf:someone/shapes-1 --dataset shapes" in body
    assert "title = {{Dataset Distillation with Convexified Implicit Gradients}}" in body
    assert "{{" not in re.sub(r"title = \{\{.*\}\}", "", body)
    assert not hub.requests
    with pytest.raises(rcig_api.ConfigError, match="exists already"):
        rcig_api.push("run_1", "someone/shapes-1", out=folder, store=store)


def test_the_head_of_the_card_is_yaml_whatever_classes_are_called(store, monkeypatch):
    monkeypatch.setattr(dataset_card, "source_of", lambda _: 'shapes (cat: old, "dog" #2)')
    folder = rcig_api.push("run_1", "someone/shapes-1", out=store.parent / "card", store=store)
    head = (folder / "README.md").read_text().split("---\n")[1]
    assert yaml.safe_load(head)["pretty_name"] == 'shapes (cat: old, "dog" #2), distilled to 2 images'


def test_the_code_on_the_card_loads_the_set_with_jax(hub, store):
    address = rcig_api.push("run_1", "someone/shapes-1", revision="v2", store=store)
    assert address.endswith("/datasets/someone/shapes-1")
    branches = hub.repositories["someone/shapes-1"]
    assert branches["main"].keys() == {".gitattributes"}
    code = re.findall(r"```python\n(.+?)```", branches["v2"]["README.md"].decode(), re.DOTALL)[1]
    found = {}
    exec(code, found)
    run = rcig_api.load("run_1", store=store)
    np.testing.assert_array_equal(found["images"], run.images)
    np.testing.assert_array_equal(found["labels"], run.labels)
    assert tuple(found["class_names"]) == run.class_names
    pixels = run.pixels()
    np.testing.assert_allclose(
        found["inputs"](pixels), run.distilled.prepared.whitening().apply(pixels), atol=1e-6
    )
    assert rcig_api.import_set("hf:someone/shapes-1@v2", "shapes", name="again", store=store).step == 0


def test_a_parquet_folder_of_the_hub_is_imported(rcig, hub, store, tmp_path):
    rcig("export", "run_1", "--format", "parquet", "--out", tmp_path / "set", "--store", store)
    files = {
        path.relative_to(tmp_path / "set").as_posix(): path.read_bytes()
        for path in (tmp_path / "set").rglob("*.parquet")
    }
    hub.repositories["someone/parquet"] = {"main": {**files, "script.py": b"raise SystemExit"}}
    new = rcig_api.import_set("hf:someone/parquet", "shapes", store=store)
    assert new.images.tobytes() == rcig_api.load("run_1", store=store).images.tobytes()
    assert not any("script.py" in path for path in hub.requests)


def test_what_is_too_large_is_not_downloaded(rcig, hub, store):
    dataset = open_store(store, create=False).dataset("shapes")
    hub.repositories["someone/large"] = {"main": {"distilled.safetensors": bytes(300 * 2**16)}}
    done = rcig("import", "hf:someone/large", "--dataset", dataset.name, "--store", store)
    assert done.code == 2
    assert (
        "distilled.safetensors of someone/large has 19660800 bytes, but a distilled set of shapes" in done.err
    )
    assert not any("/resolve/" in path for path in hub.requests)


@pytest.mark.parametrize(
    ("origin", "code", "message"),
    [
        ("hf:someone/missing", 3, "has no data set someone/missing"),
        ("hf:someone/none@v9", 3, "no such branch, tag or commit"),
        ("hf:someone/none", 2, "someone/none is no distilled set"),
        ("hf:someone/none/folder", 2, "pass hf:someone/none"),
        ("hf:someone/gated", 2, "must be requested"),
        ("hf:", 2, "pass hf:OWNER/NAME"),
        ("hf:someone/damaged", 5, "hf:someone/damaged/distilled.safetensors is damaged"),
    ],
)
def test_what_can_not_be_imported(rcig, hub, store, origin, code, message):
    hub.repositories["someone/none"] = {"main": {"data/notes.txt": b""}}
    hub.repositories["someone/gated"] = "GatedRepo"
    hub.repositories["someone/damaged"] = {"main": {"distilled.safetensors": b"\x01" * 100}}
    done = rcig("import", origin, "--dataset", "shapes", "--store", store)
    one_sentence(done, code, message)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "You are not logged in to the Hugging Face Hub"),
        ("hf_unknown", "doesn't accept your login"),
        (READ, "Your login may not write to someone/shapes-1"),
    ],
)
def test_without_permission_nothing_is_uploaded(rcig, hub, store, monkeypatch, token, message):
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(store / "no such file"))
    done = rcig("push", "run_1", "someone/shapes-1", "--license", "mit", "--store", store)
    one_sentence(done, 2, message)
    assert "someone/shapes-1" not in hub.repositories


def test_private_means_private(rcig, hub, store):
    done = rcig("push", "run_1", "someone/secret", "--private", "--store", store)
    assert done.code == 0, done.err
    assert hub.private == {"someone/secret"}
    public = {"main": {"README.md": b"Mine."}}
    hub.repositories["someone/public"] = public
    done = rcig("push", "run_1", "someone/public", "--private", "--license", "mit", "--store", store)
    one_sentence(done, 2, "exists already and is public")
    assert public == {"main": {"README.md": b"Mine."}}


def test_no_connection(rcig, store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITE)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    done = rcig("push", "run_1", "someone/shapes-1", "--license", "mit", "--store", store)
    one_sentence(done, 1, "could not be uploaded to the Hugging Face Hub")
    done = rcig("import", "hf:someone/shapes-1", "--dataset", "shapes", "--store", store)
    one_sentence(done, 1, "could not be downloaded from the Hugging Face Hub")


@pytest.mark.parametrize("bad", [["nobody"], ["a/b", "--license", "CC BY"], ["a/b", "--revision", "a b"]])
def test_impossible_arguments(rcig, store, bad):
    done = rcig("push", "run_1", *bad, "--store", store)
    one_sentence(done, 2, "is not possible")


def test_options_of_an_upload_without_one(rcig, store, tmp_path):
    done = rcig("push", "run_1", "a/b", "--out", tmp_path / "set", "--private", "--store", store)
    one_sentence(done, 2, "with --out nothing is uploaded")
