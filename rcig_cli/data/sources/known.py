"""What is known beforehand about published data sets: where they come from and their statistics.

The channel means and deviations are those of the training images, on a scale from 0 to 1, with which
the published results were made.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KnownDataset:
    """A published data set.

    Parameters
    ----------
    name
        Its name here.
    tfds
        Its name in TensorFlow Datasets, or None where it is not to be had there.
    shape
        ``(H, W, c)`` at which the published results were made.
    classes
        Number of classes.
    mean, std
        Per channel, of training pixels between 0 and 1.
    sizes
        Training and test images, as published.
    download
        Where its makers offer it, and what its folder is called once unpacked, where ``--from`` knows that
        folder's layout and TensorFlow Datasets may not do.
    test_split
        Which published split serves as the test split.
    also
        Another name it goes by.
    builders_need
        Packages that TensorFlow Datasets imports to build it, but only after it has downloaded everything.
    """

    name: str
    tfds: str | None
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: tuple[int, int]
    download: tuple[str, str] | None = None
    test_split: str = "test"
    also: str | None = None
    builders_need: tuple[str, ...] = ()


_ROWS = (
    KnownDataset("mnist", "mnist", (28, 28, 1), 10, (0.1307,), (0.3081,), (60_000, 10_000)),
    KnownDataset("fashion_mnist", "fashion_mnist", (28, 28, 1), 10, (0.2861,), (0.3530,), (60_000, 10_000)),
    KnownDataset(
        "cifar10",
        "cifar10",
        (32, 32, 3),
        10,
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
        (50_000, 10_000),
    ),
    KnownDataset(
        "cifar100",
        "cifar100",
        (32, 32, 3),
        100,
        (0.5071, 0.4866, 0.4409),
        (0.2673, 0.2564, 0.2762),
        (50_000, 10_000),
    ),
    KnownDataset(
        "tiny_imagenet",
        None,
        (64, 64, 3),
        200,
        (0.4759, 0.4481, 0.3926),
        (0.2763, 0.2687, 0.2813),
        (100_000, 10_000),
        download=("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "tiny-imagenet-200"),
        test_split="validation",
    ),
    KnownDataset(
        "cub200",
        "caltech_birds2011",
        (32, 32, 3),
        200,
        (0.4810, 0.4964, 0.4245),
        (0.2129, 0.2084, 0.2468),
        (5_994, 5_794),
        download=("https://data.caltech.edu/records/65de6-vp158", "CUB_200_2011"),
        also="caltech_birds2011",
        builders_need=("cv2",),
    ),
    KnownDataset(
        "imagenette",
        "imagenette",
        (128, 128, 3),
        10,
        (0.4626, 0.4588, 0.4251),
        (0.2790, 0.2745, 0.2973),
        (9_469, 3_925),
        download=("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz", "imagenette2"),
        test_split="validation",
    ),
    KnownDataset(
        "imagewoof",
        None,
        (128, 128, 3),
        10,
        (0.4917, 0.4613, 0.3931),
        (0.2513, 0.2442, 0.2530),
        (9_025, 3_929),
        download=("https://s3.amazonaws.com/fast-ai-imageclas/imagewoof2.tgz", "imagewoof2"),
        test_split="validation",
    ),
    KnownDataset(
        "imagenet64",
        "imagenet_resized/64x64",
        (64, 64, 3),
        1000,
        (0.4815, 0.4578, 0.4082),
        (0.2686, 0.2613, 0.2758),
        (1_281_167, 50_000),
        download=("https://image-net.org/download-images.php", "imagenet64"),
        test_split="validation",
    ),
)

KNOWN: dict[str, KnownDataset] = {name: row for row in _ROWS for name in (row.name, row.also) if name}


def known_names() -> list[str]:
    """Give the names of all of them, each once."""
    return [row.name for row in _ROWS]


def downloadable() -> list[str]:
    """Give the names of the data sets that TensorFlow Datasets can fetch."""
    return [row.name for row in _ROWS if row.tfds is not None]
