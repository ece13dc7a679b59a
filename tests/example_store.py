"""A small store with every kind of artifact, made without distilling: runs of every status and origin."""

from dataclasses import replace

import numpy as np

from rcig_cli.presets.config import resolve
from rcig_cli.presets.set_size import SetSize
from rcig_cli.store import checkpoints
from rcig_cli.store.arrays import write_arrays, write_npz
from rcig_cli.store.digests import digests
from rcig_cli.store.documents import write_document
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.records import (
    DatasetManifest,
    GroupManifest,
    RunManifest,
    now,
    versions,
    write_manifest,
)
from rcig_cli.store.results import write_result
from rcig_cli.store.store import open_store

CLASSES, SHAPE, STEPS = ("circle", "square"), (8, 8, 1), 8
KILLED = "run_4"  # at step 4 of many, after a checkpoint at step 2
MEASURED = {"mean": 0.5, "std": 0.0, "values": [0.5]}
PROTOCOL = {
    **{"arch": "convnet", "norm": "none", "width": 2, "depth": 1, "flip": False},
    **{"networks": 1, "seed": 0, "lr": 1e-4, "steps": 5},
}
EVALUATION = {
    **{"architecture": "convnet", "normalization": "none", "augment": False, "hard_labels": False},
    **{"accuracy": MEASURED, "random_subset": MEASURED, "paper": None},
    **{"parametrization": "raw", "images": 2, "raw_images": 2, "stored_bytes": {"images": 512, "labels": 16}},
    "protocol": {**PROTOCOL, "augment": False, "hard_labels": False, "warmup": 2},
}
TIMING = {"steps": 8, "milliseconds_per_step": 1.5, "seconds": 2.0, "device": "cpu", "processors": 2}


def make_example(root):
    """Write the store, and return its folder."""
    store = open_store(root, create=True)
    dataset = _dataset(store)
    _run(store, dataset, "run_1")
    write_result(store.run_path("run_1"), "evaluations", "convnet", EVALUATION)
    write_result(store.run_path("run_1"), "attacks", "mia", {"run": "run_1", "auc": 0.5})
    (store.run_path("run_1") / "figures").mkdir()
    (store.run_path("run_1") / "figures" / "grid.png").write_bytes(b"a picture")
    _run(store, dataset, "run_2", seed=2)
    _run(store, dataset, "run_3", status="interrupted", seed=3)
    _run(store, dataset, KILLED, status="running", seed=4)
    _run(store, dataset, "run_5", status="failed", seed=5)
    _run(store, dataset, "imported", parents={"file": {"name": "set.npz", "digest": "a" * 64}})
    _sweep(store, dataset)
    _sequence(store, dataset)
    return root


def _dataset(store):
    folder, random = store.dataset_path("shapes"), np.random.default_rng(0)
    folder.mkdir(parents=True)
    arrays = {"whitening/mean": np.zeros(1, np.float32), "whitening/std": np.ones(1, np.float32)}
    for split, count in (("train", 24), ("test", 8)):
        arrays[f"{split}/images"] = random.normal(size=(count, *SHAPE)).astype(np.float32)
        arrays[f"{split}/labels"] = (np.arange(count) % len(CLASSES)).astype(np.int32)
    write_arrays(folder / "arrays.zarr", arrays)
    manifest = DatasetManifest(
        name="shapes", created=now(), class_names=CLASSES, shape=SHAPE, sizes={"train": 24, "test": 8},
        whitened=False, config={"name": "shapes"}, source={"from": "named", "notes": []},
        versions=versions(), files=digests(folder),
    )  # fmt: skip
    write_manifest(folder, manifest)
    return manifest


def _config(seed, ipc=1):
    settings = {"ipc": ipc, "steps": STEPS, "batch": 16, "width": 2, "depth": 1, "seed": seed}
    return resolve("shapes", SHAPE, len(CLASSES), settings)


def _run(store, dataset, name, *, status="finished", seed=1, parents=None):
    folder, random = store.run_path(name), np.random.default_rng(seed)
    folder.mkdir(parents=True)
    (folder / "lock").touch()
    finished, imported = status == "finished", "file" in (parents or {})
    files, done = {}, STEPS if finished else 4
    if not imported:
        with MetricsLog(folder / "metrics.jsonl") as metrics:
            for step in range(1, done + 1):
                numbers = dict.fromkeys(("loss", "accuracy", "gradient_norm", "temperature"), 1 / step)
                metrics.append({"step": step, **numbers})
        images = random.normal(size=(2, 2, *SHAPE)).astype(np.float16)
        snapshots = {"steps": np.array([1, done]), "indices": np.arange(2), "images": images}
        write_npz(folder / "snapshots.npz", snapshots)
        files = digests(folder, "snapshots.npz") | digests(folder, "metrics.jsonl") if name != KILLED else {}
    if finished:
        labels = np.eye(2, dtype=np.float32) - np.float32(0.5)
        arrays = {"images": random.normal(size=(2, *SHAPE)).astype(np.float32), "labels": labels}
        write_arrays(folder / "distilled.zarr", {**arrays, "classes": np.arange(2, dtype=np.int32)})
        files |= digests(folder, "distilled.zarr")
    else:
        for step in (1, 2):
            checkpoints.save(folder, step, {"psi": random.normal(size=(2, 3)), "count": np.int32(step)})
    divergence = {"step": 5, "not_finite": ["loss"], "checkpoint": 4, "rates": {"image_lr": 0.1}}
    config = _config(seed)
    manifest = RunManifest(
        name=name, created=now(), updated=now(), status=status, step=2 if name == KILLED else done,
        config=config.to_json(), seed=config.seed, dataset="shapes",
        parents={"dataset": dataset.as_parent, **(parents or {})}, versions=versions(), files=files,
        divergences=(divergence,) if status == "failed" else (),
        size=SetSize.of(config, SHAPE, len(CLASSES)).to_json(),
    )  # fmt: skip
    write_manifest(folder, manifest)


def _sweep(store, dataset):
    folder, configs = store.group_path("sweep", "sweep_1"), [_config(seed).to_json() for seed in (6, 7)]
    (folder / "figures").mkdir(parents=True)
    (folder / "lock").touch()
    manifest = GroupManifest(
        kind="sweep", name="sweep_1", created=now(), updated=now(), status="finished", dataset="shapes",
        config={
            "settings": {"dataset": "shapes", "ipc": 1}, "sweep": [{"seed": [6, 7]}], "evaluate": [{}],
            "configurations": configs, "protocols": [[EVALUATION["protocol"]]] * 2, "new": False,
        },
        parents={"shapes": dataset.as_parent}, runs=("run_6", "run_7"), versions=versions(), files={},
    )  # fmt: skip
    for seed, run in ((6, "run_6"), (7, "run_7")):
        _run(store, dataset, run, seed=seed, parents={"sweep": manifest.as_parent})
        write_result(store.run_path(run), "evaluations", "convnet", EVALUATION)
        write_result(store.run_path(run), "timings", "distill", TIMING)
    row = {
        **{"accuracy": MEASURED, "diverged": [], "milliseconds_per_step": 1.5, "run_accuracies": [0.5, 0.5]},
        **{"runs": ["run_6", "run_7"], "seconds": 0.012, "seconds_in_all": 4.0, "seeds": [6, 7]},
        **{"settings": {}, "steps": STEPS, "batch": 16, "width": 2, "minutes": None, "paper": None},
        **{"protocol_label": "rcig", "protocol": EVALUATION["protocol"]},
    }
    subset = {"dataset": "shapes", "ipc": 1, "protocol_label": "rcig", **MEASURED}
    table = {"axes": [], "protocols": ["rcig"], "random_subsets": [subset], "rows": [row]}
    write_document(folder / "table.json", table)
    (folder / "figures" / "accuracy.png").write_bytes(b"another picture")
    files = digests(folder, "table.json") | digests(folder, "figures")
    write_manifest(folder, replace(manifest, files=files))


def _sequence(store, dataset):
    folder, config = (
        store.group_path("sequence", "sequence_1"),
        {**_config(6).to_json(), "classes": "square,circle"},
    )
    for name in ("accuracies", "figures"):
        (folder / name).mkdir(parents=True)
    (folder / "lock").touch()
    measured = {each: MEASURED for each in ("accuracy", "random_subset", "full_data")}
    stage = {"classes": ["square", "circle"], "run": "run_6", "seen": 2, "images": 2, **measured}
    table = {"sequence": "sequence_1", "dataset": "shapes", "algorithm": "rcig", "tasks": [stage]}
    write_document(folder / "table.json", table)
    write_document(folder / "accuracies" / "1-distilled.json", MEASURED)
    (folder / "figures" / "accuracy.png").write_bytes(b"a third picture")
    manifest = GroupManifest(
        kind="sequence", name="sequence_1", created=now(), updated=now(), status="finished", dataset="shapes",
        config={
            "tasks": [[1, 0]], "configurations": [config], "protocol": EVALUATION["protocol"],
            "full_epochs": 20,
        },
        parents={"shapes": dataset.as_parent}, runs=("run_6",), versions=versions(),
        files=digests(folder, "table.json") | digests(folder, "figures"),
    )  # fmt: skip
    write_manifest(folder, manifest)
