"""The accuracy on real MNIST and CIFAR-10: ``RCIG_REAL_DATA=FOLDER make test-realdata``.

FOLDER holds ``mnist.npz`` and ``cifar10.npz``, each with x_train, y_train, x_test and y_test.  Two cores need
a quarter of an hour.
"""

import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import start_rcig

FOLDER = os.environ.get("RCIG_REAL_DATA")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER, reason="RCIG_REAL_DATA names no folder with mnist.npz and cifar10.npz"),
]


def run(store, *arguments):
    process = start_rcig(*arguments, "--store", store, "--json")
    out, err = process.communicate()
    assert process.returncode == 0, err
    return json.loads(out)


def evaluation(store, *arguments):
    (found,) = run(store, "evaluate", "run_1", *arguments)["evaluations"]
    print(found["accuracy"], found["random_subset"])
    return found["accuracy"]["mean"], found["random_subset"]["mean"]


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory):
    store = tmp_path_factory.mktemp("cifar10") / "artifacts"
    start = time.perf_counter()
    run(store, "prepare", "cifar10", "--from", Path(FOLDER) / "cifar10.npz")
    return store, time.perf_counter() - start


def test_preparing_cifar10_is_quick_and_small(cifar10):
    _, seconds = cifar10
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{seconds:.1f} s, at most {peak:.2f} GB")
    assert seconds < 180
    assert peak < 4


def test_whitening_and_its_inverse_give_the_pixels_back(cifar10):
    from rcig_cli.runs.prepare.prepared import open_prepared
    from rcig_cli.store.store import open_store

    prepared = open_prepared(open_store(cifar10[0], create=False), "cifar10")
    pixels = prepared.whitening().invert(prepared.split("test")[0])
    with np.load(Path(FOLDER) / "cifar10.npz") as real:
        worst = np.abs(pixels - real["x_test"]).max()
    print(f"worst error {worst:.5f} grey levels")
    assert worst < 0.5


def test_cifar10_in_300_steps(cifar10):
    flags = ["--ipc", 1, "--width", 32, "--batch", 256, "--steps", 300]
    run(cifar10[0], "distill", "cifar10", *flags)
    ours, random = evaluation(cifar10[0])
    assert ours >= 0.32
    assert ours >= random + 0.12


@pytest.mark.parametrize("solver", ["cg", "adam"])
def test_mnist_in_400_steps(tmp_path, solver):
    store = tmp_path / "artifacts"
    run(store, "prepare", "mnist", "--from", Path(FOLDER) / "mnist.npz")
    flags = ["--ipc", 1, "--width", 32, "--batch", 256, "--steps", 400, "--solver", solver]
    run(store, "distill", "mnist", *flags)
    assert evaluation(store)[0] >= 0.76
