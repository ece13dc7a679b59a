"""Published data sets: where they come from, their statistics, and the names of their classes.

The channel means and deviations are those of the training images, on a scale from 0 to 1, with which
the published results were made.

The addresses, sizes and checksums of the official files are those that TensorFlow Datasets lists; those of
Tiny-ImageNet, which it doesn't have, are recorded alike by several independent projects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Archive:
    """An official file of a data set.

    Parameters
    ----------
    address
        Where it is published.
    size
        In bytes.
    sha256
        Its checksum, in hexadecimal digits.
    mirrors
        Other addresses of the same file.
    """

    address: str
    size: int
    sha256: str
    mirrors: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the file."""
        return PurePosixPath(urlsplit(self.address).path).name


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
    archives
        The official files, if rcig may download them: their terms allow it, and a checksum is known.
    folder
        Name of the folder that the official archives unpack to; None if the files are used as they are.
    page
        Where to get the official archive, if rcig doesn't download it.
    also
        Another name of the data set.
    other_names
        Names of classes in well-known copies of it that differ, and the class of each.
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
    archives: tuple[Archive, ...] = ()
    folder: str | None = None
    page: str | None = None
    also: str | None = None
    other_names: Mapping[str, str] = field(default_factory=dict)


_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_CIFAR100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus "
    "butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch "
    "crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo "
    "keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain "
    "mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain "
    "plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone "
    "television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)

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


def _idx_files(base: str, mirror: str, **files: tuple[int, str]) -> tuple[Archive, ...]:
    """Return MNIST's four files, given the size and checksum of each."""
    names = {key: f"{key.replace('_', '-')}-idx{3 if 'images' in key else 1}-ubyte.gz" for key in files}
    return tuple(
        Archive(base + names[key], size, sha256, mirrors=(mirror + names[key],))
        for key, (size, sha256) in files.items()
    )


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
        other_names={f"{number} - {word}": str(number) for number, word in enumerate(_DIGITS)},  # torchvision
        archives=_idx_files(
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            mirror="https://ossci-datasets.s3.amazonaws.com/mnist/",
            train_images=(9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            train_labels=(28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            t10k_images=(1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            t10k_labels=(4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
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
        archives=_idx_files(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            mirror="https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            train_images=(26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            train_labels=(29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            t10k_images=(4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            t10k_labels=(5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
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
        other_names={"plane": "airplane", "car": "automobile"},
        archives=(
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                170_052_171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        folder="cifar-10-batches-bin",
    ),
    KnownDataset(
        "cifar100",
        tfds="cifar100",
        shape=(32, 32, 3),
        classes=100,
        mean=(0.5071, 0.4866, 0.4409),
        std=(0.2673, 0.2564, 0.2762),
        sizes=(50_000, 10_000),
        class_names=tuple(_CIFAR100.split()),
        other_names={"cra": "crab", "computer_keyboard": "keyboard"},  # "cra" on the Hugging Face Hub
        archives=(
            Archive(
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                168_513_733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
        folder="cifar-100-binary",
    ),
    KnownDataset(
        "tiny_imagenet",
        tfds=None,
        shape=(64, 64, 3),
        classes=200,
        mean=(0.4759, 0.4481, 0.3926),
        std=(0.2763, 0.2687, 0.2813),
        sizes=(100_000, 10_000),
        archives=(
            Archive(
                "https://cs231n.stanford.edu/tiny-imagenet-200.zip",
                248_100_043,
                "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821",
            ),
        ),
        folder="tiny-imagenet-200",
    ),
    KnownDataset(
        "cub200",
        tfds="caltech_birds2011",
        shape=(32, 32, 3),
        classes=200,
        mean=(0.4810, 0.4964, 0.4245),
        std=(0.2129, 0.2084, 0.2468),
        sizes=(5_994, 5_794),
        archives=(
            Archive(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",
                1_150_585_339,
                "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
            ),
        ),
        folder="CUB_200_2011",
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
        archives=(
            Archive(
                "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz",
                1_557_161_267,
                "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
            ),
        ),
        folder="imagenette2",
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
        folder="imagewoof2",
        page="https://s3.amazonaws.com/fast-ai-imageclas/imagewoof2.tgz",  # no checksum of it is published
    ),
    KnownDataset(
        "imagenet64",
        tfds="imagenet_resized/64x64",
        shape=(64, 64, 3),
        classes=1000,
        mean=(0.4815, 0.4578, 0.4082),
        std=(0.2686, 0.2613, 0.2758),
        sizes=(1_281_167, 50_000),
        folder="imagenet64",
        page="https://image-net.org/download-images.php",  # its terms require an account
    ),
)

KNOWN: dict[str, KnownDataset] = {name: row for row in _ROWS for name in (row.name, row.also) if name}


def known_in_tfds(dataset: str) -> KnownDataset | None:
    """Return the known data set of this name in TensorFlow Datasets, which may end in ``:VERSION``."""
    return next((row for row in _ROWS if row.tfds == dataset.partition(":")[0]), None)


def published_order(dataset: str) -> tuple[str, ...]:
    """Return the names of a data set's classes in their published order; empty if they aren't known."""
    known = KNOWN.get(dataset)
    return (known.class_names or tuple(known.synsets.values())) if known else ()
