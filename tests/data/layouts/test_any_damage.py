"""Every layout with a file of it changed at random is read, or refused in a sentence.

``RCIG_DAMAGE_TRIALS`` says how often each; 40 times without it.
"""

import contextlib
import os
import shutil

import numpy as np
import pytest

from rcig_cli.data.sources.class_names import IMAGENETTE
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import RcigError
from tests.data import downloads
from tests.data.downloads import example_splits

RGB = 32, 32, 3
TRIALS = int(os.environ.get("RCIG_DAMAGE_TRIALS", "40"))
COPIES = {
    "tiny_imagenet": lambda to: downloads.write_tiny_imagenet(to, ("n00000001", "n00000002"), side=8),
    "cub200": lambda to: downloads.write_cub200(to, classes=3),
    "cifar10 binary": lambda to: downloads.write_cifar10_binary(to, example_splits(10, 20, 10, *RGB)),
    "cifar100 binary": lambda to: downloads.write_cifar100_binary(to, example_splits(100, 100, 10, *RGB)),
    "cifar10 python": lambda to: downloads.write_cifar10_python(to, example_splits(10, 20, 10, *RGB)),
    "cifar100 python": lambda to: downloads.write_cifar100_python(to, example_splits(100, 100, 10, *RGB)),
    "imagenet64": lambda to: downloads.write_imagenet64(to, example_splits(1000, 1000, 10, 8, 8, 3)),
    "imagenette": lambda to: downloads.write_imagenette(to, tuple(IMAGENETTE), per_class=1, short=16),
    "mnist": lambda to: downloads.write_idx(to, example_splits(10, 20, 10, 28, 28, 1)),
    "mnist packed": lambda to: downloads.write_idx(to, example_splits(10, 20, 10, 28, 28, 1), packed=True),
}


def damage(content, random):
    """Cut, flip, insert, or overwrite; mostly near the beginning, where headers are."""
    content = bytearray(content)
    place = int(random.integers(0, min(len(content), random.choice([64, 4096, 2**30])) or 1))
    some = random.integers(0, 256, random.choice([1, 4, 40]), dtype=np.uint8).tobytes()
    match random.integers(0, 5):
        case 0:
            return bytes(content[:place])
        case 1:
            return bytes(content[:place] + some + content[place:])
        case 2:
            return bytes(content[:place] + content[place + len(some) :])
        case 3:
            return bytes(content[:place] + b"\xff" * len(some) + content[place + len(some) :])
        case _:
            return bytes(content[:place] + some + content[place + len(some) :])


@pytest.mark.parametrize("layout", COPIES)
def test_a_file_changed_at_random(tmp_path, layout):
    folder = COPIES[layout](tmp_path / "copy")
    name = layout.split()[0]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lists = [path for path in files if path.suffix in (".txt", "", ".gz", ".bin", ".npz")] or files
    random = np.random.default_rng(len(layout))
    refused = 0
    for _ in range(TRIALS):
        among = lists if random.random() < 0.7 else files
        path = among[int(random.integers(0, len(among)))]
        before = path.read_bytes()
        path.write_bytes(damage(before, random))
        refused += 1
        with contextlib.suppress(RcigError):
            source = open_source(name, folder)
            for split in ("train", "test"):
                for batch in source.batches(split, 16):
                    assert batch.images.shape[1:] == source.shape
                    assert batch.labels.max() < len(source.class_names)
            refused -= 1
        path.write_bytes(before)
    print(f"{layout}: {refused} of {TRIALS} refused")
    assert open_source(name, folder).sizes["train"] > 0
    shutil.rmtree(folder)
