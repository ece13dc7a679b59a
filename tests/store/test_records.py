"""Manifests: they come back as they were written, and a wrong field is named with what is allowed."""

import platform
import shutil
import subprocess

import pytest
from pydantic import ValidationError

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.store import records
from rcig_cli.store.documents import write_document
from rcig_cli.store.records import (
    CheckpointManifest,
    RunManifest,
    commit,
    now,
    read_manifest,
    versions,
    write_manifest,
)

DIVERGENCE = {"step": 3, "not_finite": ["loss"], "checkpoint": None, "rates": {"image_lr": 0.1}}


def test_every_kind_comes_back(tmp_path, run_manifest, dataset_manifest, sweep_manifest):
    full = run_manifest(
        divergences=(DIVERGENCE,),
        parents={role: {"name": role, "digest": "a" * 64} for role in ("dataset", "sweep", "file")},
    )
    checkpoint = CheckpointManifest(step=3, files={"state.safetensors": "a" * 64})
    for manifest in (
        full,
        run_manifest(),
        dataset_manifest(class_names=("\ud800", "ü")),
        sweep_manifest(),
        checkpoint,
    ):
        write_manifest(tmp_path, manifest)
        assert read_manifest(tmp_path, type(manifest)) == manifest


def test_the_digest_is_of_the_content_and_not_of_how_it_was_made(dataset_manifest):
    digest = dataset_manifest().digest
    assert dataset_manifest(created=now(), versions={"jax": "9"}, config={}, source={}).digest == digest
    assert dataset_manifest(whitened=True).digest != digest
    assert dataset_manifest(files={"arrays.zarr/zarr.json": "c" * 64}).digest != digest
    assert dataset_manifest().as_parent == {"name": "digits", "digest": digest}


def test_the_digest_of_a_sweep_does_not_change_while_it_runs(sweep_manifest):
    later = {"status": "finished", "runs": ("run_1", "run_2"), "files": {"table.json": "b" * 64}}
    assert sweep_manifest(**later).digest == sweep_manifest().digest
    assert sweep_manifest(config={}).digest != sweep_manifest().digest


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "done"), ("step", 1.5), ("seed", None), ("config", []), ("kind", "sweep")],
)
def test_a_wrong_value_is_refused_when_the_record_is_made(run_manifest, field, value):
    with pytest.raises(ValidationError, match=field):
        run_manifest(**{field: value})


def test_a_manifest_with_other_fields_is_of_another_version_and_not_damaged(tmp_path, run_manifest):
    document = run_manifest().to_json() | {"product": {}}
    del document["files"]
    write_document(tmp_path / "manifest.json", document)
    with pytest.raises(Corrupt, match=r"manifest\.json was written by another version of rcig, in a format"):
        read_manifest(tmp_path, RunManifest)


def test_a_run_with_fields_that_are_not_read_is_read(tmp_path, run_manifest):
    document = run_manifest().to_json()
    del document["size"]
    write_document(tmp_path / "manifest.json", {**document, "stored_bytes": {}, "log": {}})
    assert read_manifest(tmp_path, RunManifest) == run_manifest()


def test_what_can_not_be_written_leaves_the_old_manifest(tmp_path, run_manifest):
    write_manifest(tmp_path, run_manifest())
    with pytest.raises(ValueError, match="JSON compliant"):
        write_manifest(tmp_path, run_manifest(config={"x": float("nan")}))
    assert read_manifest(tmp_path, RunManifest) == run_manifest()


def test_no_manifest(tmp_path):
    with pytest.raises(NotFound, match=r"manifest\.json does not exist"):
        read_manifest(tmp_path, RunManifest)


def test_versions_come_without_imports(python):
    code = (
        "import sys; from rcig_cli.store.records import versions; found = versions()\n"
        "assert not {'jax', 'zarr', 'numpy', 'safetensors'} & set(sys.modules); print(found['zarr'])"
    )
    printed, _ = python(code).communicate()
    found = versions()
    assert found["zarr"] == printed.strip()
    assert found["python"] == platform.python_version()
    assert {"jax", "jaxlib", "flax", "optax", "safetensors", "numpy"} <= set(found)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs Git")
def test_the_commit_is_the_one_of_the_checkout_that_the_package_lies_in(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        found = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], capture_output=True, text=True, check=True
        )
        return found.stdout.strip()

    module = tmp_path / "rcig_cli" / "store" / "records.py"
    module.parent.mkdir(parents=True)
    module.write_text("before")
    monkeypatch.setattr(records, "__file__", str(module))
    assert commit() is None

    git("init")
    git("add", ".")
    git("commit", "--message", "first")
    assert commit() == git("rev-parse", "HEAD")[:12]
    module.write_text("after")
    assert commit() == git("rev-parse", "HEAD")[:12] + "-dirty"


def test_a_repository_around_the_installed_package_is_not_its_own(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    installed = tmp_path / ".venv" / "site-packages" / "rcig_cli" / "store" / "records.py"
    monkeypatch.setattr(records, "__file__", str(installed))
    assert commit() is None
