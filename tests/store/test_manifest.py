"""Manifests: there and back without loss, and every fault reported at once."""

import dataclasses
import json
import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.store import manifest as manifests
from rcig_cli.store import provenance
from rcig_cli.store.documents import canonical
from rcig_cli.store.manifest import DatasetManifest, RunManifest, SweepManifest

# Lone surrogates too: JSON can hold them, so a manifest may.
TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
NAME = st.from_regex(r"[a-qs-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
DIGEST = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
FILES = st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}", fullmatch=True), DIGEST, max_size=4)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=4)
NATURAL = st.integers(0, 2**63 - 1)
TIME = st.datetimes().map(lambda time: time.isoformat() + "+00:00")

PARENT = st.fixed_dictionaries({"name": TEXT, "digest": DIGEST})
DIVERGENCE = st.fixed_dictionaries(
    {
        "step": st.integers(1, 2**63 - 1),
        "not_finite": st.lists(TEXT, min_size=1, max_size=3),
        "checkpoint": st.none() | NATURAL,
        "rates": st.dictionaries(TEXT, st.floats(-1e300, 1e300), max_size=3),
    }
)

DATASETS = st.builds(
    DatasetManifest,
    name=NAME,
    created=TIME,
    class_names=st.lists(TEXT).map(tuple),
    shape=st.tuples(*[st.integers(1, 512)] * 3),
    sizes=st.fixed_dictionaries({"train": NATURAL, "test": NATURAL}),
    whitened=st.booleans(),
    config=OBJECT,
    source=OBJECT,
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
    files=FILES,
    format=st.just(1),
    kind=st.just("dataset"),
)
RUNS = st.builds(
    RunManifest,
    name=NAME | st.integers(1, 999_999_999).map("run_{}".format),
    created=TIME,
    updated=TIME,
    status=st.sampled_from(["running", "interrupted", "finished", "failed"]),
    step=NATURAL,
    config=OBJECT,
    seed=NATURAL,
    dataset=NAME,
    parents=st.fixed_dictionaries({"dataset": PARENT}, optional={"sweep": PARENT, "file": PARENT}),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
    files=FILES,
    log=st.none() | st.fixed_dictionaries({"bytes": NATURAL, "sha256": DIGEST}),
    divergences=st.lists(DIVERGENCE, max_size=2).map(tuple),
    format=st.just(1),
    kind=st.just("run"),
)
SWEEPS = st.builds(
    SweepManifest,
    name=st.integers(1, 999_999_999).map("sweep_{}".format),
    created=TIME,
    updated=TIME,
    status=st.sampled_from(["running", "interrupted", "finished"]),
    config=OBJECT,
    dataset=NAME,
    parents=st.fixed_dictionaries({"dataset": PARENT}),
    runs=st.lists(NAME).map(tuple),
    versions=st.dictionaries(TEXT, TEXT, max_size=3),
    files=FILES,
    format=st.just(1),
    kind=st.just("sweep"),
)


@given(DATASETS | RUNS | SWEEPS)
def test_every_manifest_comes_back_equal(tmp_path_factory, manifest):
    document = json.loads(canonical(manifest.to_json()))
    back = type(manifest).from_json(document, tmp_path_factory.getbasetemp())
    assert back == manifest
    assert back.digest == manifest.digest


def test_written_and_read(tmp_path, run_manifest, dataset_manifest, sweep_manifest):
    manifests.write_manifest(tmp_path, sweep_manifest())
    assert manifests.read_sweep_manifest(tmp_path) == sweep_manifest()
    manifests.write_manifest(tmp_path, run_manifest())
    assert manifests.read_run_manifest(tmp_path) == run_manifest()
    manifests.write_manifest(tmp_path, dataset_manifest())
    assert manifests.read_dataset_manifest(tmp_path) == dataset_manifest()


def test_the_bytes_are_canonical(tmp_path, run_manifest):
    manifests.write_manifest(tmp_path, run_manifest(config={"b": 1, "a": "ü"}))
    content = (tmp_path / "manifest.json").read_text(encoding="ascii")
    assert content.endswith("}\n")
    assert content.index('"a": "\\u00fc"') < content.index('"b": 1')
    assert content == json.dumps(json.loads(content), sort_keys=True, indent=2) + "\n"


def test_the_digest_is_of_the_content_and_not_of_how_it_came_about(dataset_manifest):
    digest = dataset_manifest().digest
    assert len(digest) == 64
    assert (
        dataset_manifest(created="2031-03-01T12:30:00.123456+00:00", versions={"jax": "9"}).digest == digest
    )
    assert dataset_manifest(whitened=not dataset_manifest().whitened).digest != digest
    assert dataset_manifest(files={"arrays.zarr/zarr.json": "c" * 64}).digest != digest


def test_all_problems_are_reported_at_once(tmp_path, run_manifest):
    document = run_manifest().to_json()
    del document["seed"]
    document |= {
        "stpe": 3,
        "step": True,
        "status": "done",
        "files": {"../x": "a" * 64},
        "created": "yesterday",
    }
    with pytest.raises(Corrupt) as caught:
        RunManifest.from_json(document, tmp_path / "manifest.json")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/manifest.json is damaged: ")
    for problem in (
        "'seed' is missing",
        "'stpe' is no field of it (is it 'step'?)",
        "'step' must be a whole number from 0, and is True",
        "'status' must be 'running' or 'interrupted' or 'finished' or 'failed', and is 'done'",
        "'files' must be an object from file paths within the folder to their SHA-256",
        "'created' must be a time in UTC, and is 'yesterday'",
    ):
        assert problem in message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../x"),
        ("name", 3),
        ("kind", "run"),
        ("class_names", "ab"),
        ("class_names", [1]),
        ("shape", [8, 8]),
        ("shape", [8, 8, 0]),
        ("shape", [8, 8, True]),
        ("sizes", {"train": 1}),
        ("sizes", {"train": 1, "test": -1}),
        ("sizes", {"train": 1, "test": 1, "more": 1}),
        ("whitened", 1),
        ("config", []),
        ("source", None),
        ("versions", {"jax": 1}),
        ("files", {"a": "A" * 64}),
        ("files", {"/etc/passwd": "a" * 64}),
        ("created", "2025-03-01T12:30:00"),
        ("created", "2025-03-01T12:30:00+01:00"),
    ],
)
def test_a_wrong_field_is_refused(tmp_path, dataset_manifest, field, value):
    document = json.loads(canonical(dataset_manifest().to_json())) | {field: value}
    with pytest.raises(Corrupt, match=f"{field!r} must be"):
        DatasetManifest.from_json(document, tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "run_1"),
        ("status", "failed"),
        ("config", []),
        ("parents", {}),
        ("runs", "run_1"),
        ("runs", ["../x"]),
        ("runs", [1]),
        ("files", {"../a": "a" * 64}),
    ],
)
def test_a_wrong_field_of_a_sweep_is_refused(tmp_path, sweep_manifest, field, value):
    document = json.loads(canonical(sweep_manifest().to_json())) | {field: value}
    with pytest.raises(Corrupt, match=f"{field!r} must be"):
        SweepManifest.from_json(document, tmp_path)


@pytest.mark.parametrize("log", [{}, [], {"bytes": -1, "sha256": "a" * 64}, {"bytes": 1, "sha256": "a"}])
def test_a_runs_log_is_vouched_for_or_absent(tmp_path, run_manifest, log):
    document = json.loads(canonical(run_manifest().to_json()))
    with pytest.raises(Corrupt, match="'log' must be"):
        RunManifest.from_json({**document, "log": log}, tmp_path)
    del document["log"]
    assert RunManifest.from_json(document, tmp_path) == run_manifest()


@pytest.mark.parametrize(
    "change",
    [
        {"step": 0},
        {"not_finite": []},
        {"checkpoint": -1},
        {"rates": {"image_lr": "1"}},
        {"rates": {"image_lr": True}},
        {"rates": {"image_lr": 10**400}},
        {"more": 1},
    ],
)
def test_a_divergence_is_whole_or_refused(tmp_path, run_manifest, change):
    divergence = {"step": 3, "not_finite": ["loss"], "checkpoint": None, "rates": {"image_lr": 1}}
    run = run_manifest(divergences=(divergence,))
    document = json.loads(canonical(run.to_json()))
    assert RunManifest.from_json(document, tmp_path) == run
    with pytest.raises(Corrupt, match="'divergences' must be"):
        RunManifest.from_json({**document, "divergences": [{**divergence, **change}]}, tmp_path)
    del document["divergences"]
    assert RunManifest.from_json(document, tmp_path) == run_manifest()


@pytest.mark.parametrize("role", ["sweep", "file"])
@pytest.mark.parametrize("parent", [{}, {"name": "sweep_1"}, {"name": "sweep_1", "digest": "a"}, "sweep_1"])
def test_a_runs_sweep_or_file_is_a_parent_or_absent(tmp_path, run_manifest, role, parent):
    document = run_manifest().to_json()
    document["parents"] = {**document["parents"], role: parent}
    with pytest.raises(Corrupt, match="'parents' must be"):
        RunManifest.from_json(document, tmp_path)


def test_the_digest_of_a_sweep_stands_while_it_goes_on(sweep_manifest):
    digest = sweep_manifest().digest
    later = {"status": "finished", "runs": ("run_1", "run_2"), "files": {"table.json": "b" * 64}}
    assert sweep_manifest(**later).digest == digest
    assert sweep_manifest(config={}).digest != digest


def test_a_newer_format_asks_for_an_upgrade(tmp_path, run_manifest):
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 2, "new": "field"}))
    with pytest.raises(Corrupt, match=r"newer rcig \(format 2\); this one reads format 1\. Upgrade rcig-cli"):
        manifests.read_run_manifest(tmp_path)


@pytest.mark.parametrize("found", [None, "1", True, 0, 1.5])
def test_a_format_is_a_number(tmp_path, run_manifest, found):
    with pytest.raises(Corrupt, match="its format is"):
        RunManifest.from_json({**run_manifest().to_json(), "format": found}, tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b'{"a": ' * 100_000, b"9" * 10_000, b"\0" * 50],
    ids=lambda content: repr(content[:8]),
)
def test_unreadable_json_names_the_file(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(Corrupt, match=r"manifest\.json is damaged: it (isn't readable JSON|holds)"):
        manifests.read_run_manifest(tmp_path)


def test_a_document_larger_than_any_is_refused(tmp_path, monkeypatch, run_manifest):
    manifests.write_manifest(tmp_path, run_manifest())
    monkeypatch.setattr("rcig_cli.store.documents.MAX_BYTES", 10)
    with pytest.raises(Corrupt, match="larger than any document"):
        manifests.read_run_manifest(tmp_path)


def test_no_manifest(tmp_path):
    with pytest.raises(NotFound, match=r"manifest\.json isn't there"):
        manifests.read_run_manifest(tmp_path)


@pytest.mark.parametrize("changes", [{"step": -1}, {"config": {"x": float("nan")}}, {"seed": None}])
def test_what_could_not_be_read_back_is_not_written(tmp_path, run_manifest, changes):
    manifests.write_manifest(tmp_path, run_manifest())
    with pytest.raises(ValueError, match=r"read back|JSON compliant"):
        manifests.write_manifest(tmp_path, run_manifest(**changes))
    assert manifests.read_run_manifest(tmp_path) == run_manifest()


def test_manifests_are_frozen(run_manifest):
    with pytest.raises(dataclasses.FrozenInstanceError):
        run_manifest().step = 3


def test_versions_come_without_imports(run_python):
    code = (
        "import sys; from rcig_cli.store.provenance import versions; found = versions()\n"
        "assert not {'jax', 'zarr', 'numpy', 'orbax'} & set(sys.modules); print(found['zarr'])"
    )
    printed = run_python(code).stdout
    found = provenance.versions()
    assert found["zarr"] == printed.strip()
    assert found["python"] == platform.python_version()
    assert {"jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy"} <= set(found)


def test_now_is_what_a_manifest_takes(run_manifest, tmp_path):
    manifests.write_manifest(tmp_path, run_manifest(created=provenance.now(), updated=provenance.now()))
