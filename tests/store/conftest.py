"""What the tests of the store share: sound manifests, a store to fill, a Python process to kill."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rcig_cli.store.records import DatasetManifest, GroupManifest, RunManifest
from rcig_cli.store.store import Store, open_store

ROOT = Path(__file__).parents[2]
TIME = "2025-03-01T12:30:00.123456+00:00"


def _run_manifest(name: str = "run_1", **changes: object) -> RunManifest:
    fields = {
        "name": name,
        "created": TIME,
        "updated": TIME,
        "status": "running",
        "step": 0,
        "config": {"ipc": 1, "solver": {"name": "direct"}},
        "seed": 0,
        "dataset": "digits",
        "parents": {"dataset": {"name": "digits", "digest": "a" * 64}},
        "versions": {"jax": "0.10.2"},
        "files": {},
    }
    return RunManifest(**{**fields, **changes})


def _dataset_manifest(name: str = "digits", **changes: object) -> DatasetManifest:
    fields = {
        "name": name,
        "created": TIME,
        "class_names": ("zero", "one"),
        "shape": (8, 8, 1),
        "sizes": {"train": 1437, "test": 360},
        "whitened": False,
        "config": {"zca": False},
        "source": {"kind": "digits"},
        "versions": {"numpy": "2.4"},
        "files": {"arrays.zarr/zarr.json": "b" * 64},
    }
    return DatasetManifest(**{**fields, **changes})


def _sweep_manifest(name: str = "sweep_1", **changes: object) -> GroupManifest:
    fields = {
        "kind": "sweep",
        "name": name,
        "created": TIME,
        "updated": TIME,
        "status": "running",
        "config": {"dataset": "digits", "configurations": [{"seed": 0}, {"seed": 1}]},
        "dataset": "digits",
        "parents": {"digits": {"name": "digits", "digest": "a" * 64}},
        "runs": ("run_1",),
        "versions": {"jax": "0.10.2"},
        "files": {},
    }
    return GroupManifest(**{**fields, **changes})


@pytest.fixture
def sweep_manifest() -> Callable[..., GroupManifest]:
    return _sweep_manifest


@pytest.fixture
def run_manifest() -> Callable[..., RunManifest]:
    return _run_manifest


@pytest.fixture
def dataset_manifest() -> Callable[..., DatasetManifest]:
    return _dataset_manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "artifacts", create=True)


@pytest.fixture
def python() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start Python programs that print a line when they are ready; kill those still there at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
