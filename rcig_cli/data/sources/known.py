"""Published data sets: where they come from, their statistics, and the names of their classes.

The channel means and deviations are those of the training images, on a scale from 0 to 1, with which
the published results were made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KnownDataset:
    """A published data set.

    Parameters
    ----------
    name
        Its name here.
    tfds
        Its name in TensorFlow Datasets, or None if it isn't there.
    shape
        ``(H, W, c)`` at which the published results were made.
    classes
        Number of classes.
    mean, std
        Per channel, of training pixels between 0 and 1.
    sizes
        Training and test images, as published.
    class_names
        Names of the classes, where the files only number them.
    synsets
        Names of the classes by WordNet code, where the files have only codes.
    download
        Address of the official archive and name of the unpacked folder, where ``--from`` reads that folder
        and TensorFlow Datasets may be unavailable.
    test_split
        Which published split serves as the test split.
    also
        Another name of the data set.
    """

    name: str
    tfds: str | None
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: tuple[int, int]
    class_names: tuple[str, ...] = ()
    synsets: Mapping[str, str] = field(default_factory=dict)
    download: tuple[str, str] | None = None
    test_split: str = "test"
    also: str | None = None


_IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
_IMAGEWOOF = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}

_ROWS = (
    KnownDataset(
        "mnist",
        tfds="mnist",
        shape=(28, 28, 1),
        classes=10,
        mean=(0.1307,),
        std=(0.3081,),
        sizes=(60_000, 10_000),
        class_names=tuple("0123456789"),
    ),
    KnownDataset(
        "fashion_mnist",
        tfds="fashion_mnist",
        shape=(28, 28, 1),
        classes=10,
        mean=(0.2861,),
        std=(0.3530,),
        sizes=(60_000, 10_000),
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    ),
    KnownDataset(
        "cifar10",
        tfds="cifar10",
        shape=(32, 32, 3),
        classes=10,
        mean=(0.4914, 0.4822, 0.4465),
        std=(0.2470, 0.2435, 0.2616),
        sizes=(50_000, 10_000),
        class_names=(
            *("airplane", "automobile", "bird", "cat", "deer"),
            *("dog", "frog", "horse", "ship", "truck"),
        ),
    ),
    KnownDataset(
        "cifar100",
        tfds="cifar100",
        shape=(32, 32, 3),
        classes=100,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        sizes=(50_000, 10_000),
    ),
    KnownDataset(
        "tiny_imagenet",
        tfds=None,
        shape=(64, 64, 3),
        classes=200,
        mean=(0.4759, 0.4481, 0.3926),
        std=(0.2763, 0.2687, 0.2813),
        sizes=(100_000, 10_000),
        download=("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "tiny-imagenet-200"),
        test_split="validation",
    ),
    KnownDataset(
        "cub200",
        tfds="caltech_birds2011",
        shape=(32, 32, 3),
        classes=200,
        mean=(0.4810, 0.4964, 0.4245),
        std=(0.2129, 0.2084, 0.2468),
        sizes=(5_994, 5_794),
        download=("https://data.caltech.edu/records/65de6-vp158", "CUB_200_2011"),
        also="caltech_birds2011",
    ),
    KnownDataset(
        "imagenette",
        tfds="imagenette",
        shape=(128, 128, 3),
        classes=10,
        mean=(0.4626, 0.4588, 0.4251),
        std=(0.2790, 0.2745, 0.2973),
        sizes=(9_469, 3_925),
        synsets=_IMAGENETTE,
        download=("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz", "imagenette2"),
        test_split="validation",
    ),
    KnownDataset(
        "imagewoof",
        tfds=None,
        shape=(128, 128, 3),
        classes=10,
        mean=(0.4917, 0.4613, 0.3931),
        std=(0.2513, 0.2442, 0.2530),
        sizes=(9_025, 3_929),
        synsets=_IMAGEWOOF,
        download=("https://s3.amazonaws.com/fast-ai-imageclas/imagewoof2.tgz", "imagewoof2"),
        test_split="validation",
    ),
    KnownDataset(
        "imagenet64",
        tfds="imagenet_resized/64x64",
        shape=(64, 64, 3),
        classes=1000,
        mean=(0.4815, 0.4578, 0.4082),
        std=(0.2686, 0.2613, 0.2758),
        sizes=(1_281_167, 50_000),
        download=("https://image-net.org/download-images.php", "imagenet64"),
        test_split="validation",
    ),
)

KNOWN: dict[str, KnownDataset] = {name: row for row in _ROWS for name in (row.name, row.also) if name}


def known_names() -> list[str]:
    """Return the names of all known data sets, each once."""
    return [row.name for row in _ROWS]
