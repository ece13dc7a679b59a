"""Real data in every format that they are published in: ``RCIG_REAL_DATA=FOLDER make test-realdata``.

FOLDER holds ``mnist.npz``, ``fashion_mnist.npz`` and ``cifar10.npz``.  Each is written in each of its
layouts, prepared by the command, and every array in the store is held against those from the ``.npz``, bit
for bit.  Class folders sort their files by class; there the arrays of the ``.npz`` are sorted by class too,
and nothing else about them changes.
"""

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from rcig_cli.store.arrays import read_array
from tests.conftest import start_rcig
from tests.data.downloads import (
    SPELLINGS,
    write_cifar10_binary,
    write_cifar10_python,
    write_class_folders,
    write_idx,
)

FOLDER = os.environ.get("RCIG_REAL_DATA")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(
        not FOLDER,
        reason="RCIG_REAL_DATA names no folder with mnist.npz, fashion_mnist.npz and cifar10.npz",
    ),
]

IDX = {
    "idx": write_idx,
    "idx with a dot, in raw": lambda to, splits: write_idx(to / "raw", splits, SPELLINGS[1]).parent,
    "idx packed": lambda to, splits: write_idx(to, splits, packed=True),
}
LAYOUTS = {
    "mnist": IDX,
    "fashion_mnist": IDX,
    "cifar10": {
        "binary version": write_cifar10_binary,
        "python version": write_cifar10_python,
        "python version, column by column": lambda to, splits: write_cifar10_python(
            to, splits, arrange=np.asfortranarray
        ),
    },
}


def prepared(folder, name, path):
    """Prepare and give the folder of the arrays, and the manifest's sizes and names."""
    start = time.perf_counter()
    store = folder / "artifacts"
    process = start_rcig("prepare", name, "--from", path, "--store", store, "--json")
    out, err = process.communicate()
    assert process.returncode == 0, err
    print(f"{name} from {path.name}: {time.perf_counter() - start:.0f} s, {json.loads(out)}")
    return store / "datasets" / name / "arrays.zarr"


def digests(arrays, orders=None):
    """SHA-256 of every array, type and shape included; splits perhaps in another order."""
    found = {}
    for name, node in zarr.open_group(arrays, mode="r").members(max_depth=None):
        if not isinstance(node, zarr.Array):
            continue
        array = read_array(arrays, name)
        order = (orders or {}).get(name.split("/")[0])
        content = np.ascontiguousarray(array if order is None else array[order])
        head = f"{array.dtype} {array.shape}".encode()
        found[name] = hashlib.sha256(head + content.tobytes()).hexdigest()
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_identical_arrays(tmp_path, name):
    archive = Path(FOLDER) / f"{name}.npz"
    with np.load(archive) as real:
        splits = {split: (real[f"x_{split}"], real[f"y_{split}"]) for split in ("train", "test")}
    arrays = prepared(tmp_path / "npz", name, archive)
    due = digests(arrays)
    by_class = digests(arrays, {split: np.argsort(splits[split][1], kind="stable") for split in splits})
    shutil.rmtree(tmp_path / "npz")
    for number, (layout, write) in enumerate({**LAYOUTS[name], "class folders": write_class_folders}.items()):
        place = tmp_path / str(number)
        place.mkdir()
        found = digests(prepared(place, name, write(place / layout, splits)))
        shutil.rmtree(place)
        assert found == (by_class if layout == "class folders" else due), layout
        print(f"  {len(found)} arrays, {sum(len(labels) for _, labels in splits.values())} images: identical")
