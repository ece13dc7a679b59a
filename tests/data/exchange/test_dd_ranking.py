"""The three files for DD-Ranking; they need PyTorch."""

from dataclasses import replace

import numpy as np
import pytest

from rcig_cli.data.exchange.formats import EXPORTS
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.errors import ConfigError
from tests.data.exchange_sets import dataset_info, exported_set, read, same_bits, write

torch = pytest.importorskip("torch", reason="PyTorch isn't installed; it is no dependency of rcig")

NAMES = KNOWN["cifar10"].class_names
GIVEN = replace(exported_set(class_names=NAMES), dataset="cifar10")


def test_the_files_are_what_dd_ranking_trains_on(tmp_path):
    path = write(tmp_path, "dd-ranking", GIVEN)
    assert sorted(file.name for file in path.iterdir()) == ["images.pt", "labels.pt", "lr.pt"]
    images, labels, rate = (torch.load(path / f"{name}.pt") for name in ("images", "labels", "lr"))
    assert images.shape == (20, 3, 4, 4)
    assert images.dtype == torch.float32
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
    pixels = (images.permute(0, 2, 3, 1) * std + mean) * 255  # what DD-Ranking's normalization undoes
    np.testing.assert_array_equal(pixels.clip(0, 255).round().to(torch.uint8).numpy(), GIVEN.pixels())
    assert same_bits(labels.numpy(), GIVEN.labels)
    assert rate.item() == pytest.approx(0.01)


def test_they_are_imported_again(tmp_path):
    info = dataset_info(name="cifar10", class_names=NAMES)
    path = write(tmp_path, "dd-ranking", GIVEN)
    found = read(path, info, space="dc-normalized")
    np.testing.assert_allclose(found.inputs(GIVEN.whitening), GIVEN.images, atol=1e-3)
    assert same_bits(found.labels, GIVEN.labels)
    assert same_bits(found.classes, GIVEN.classes)
    with pytest.raises(ConfigError, match="doesn't say what its images are"):
        read(path, info)


@pytest.mark.parametrize(
    ("dataset", "first"),
    [("cifar10", "airplane"), ("imagenette", "tench"), ("imagewoof", "Australian terrier")],
)
def test_classes_are_in_the_order_of_dd_ranking(tmp_path, dataset, first):
    known = KNOWN[dataset]
    names = tuple(sorted(known.class_names or known.synsets.values(), reverse=True))
    given = replace(exported_set(class_names=names), dataset=dataset)
    path = write(tmp_path, "dd-ranking", given)
    labels = torch.load(path / "labels.pt").numpy()
    ours = given.classes == names.index(first)
    assert labels.argmax(axis=1).tolist() == np.repeat(range(10), 2).tolist()
    np.testing.assert_array_equal(labels[:2, 0], given.labels[ours][:, names.index(first)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "mnist"}, "DD-Ranking has no data set mnist"),
        ({"dataset": "pets"}, "DD-Ranking has no data set pets"),
        ({"classes": np.minimum(GIVEN.classes, 8)}, "the same number of images for each class.* 0 to 4"),
        ({"class_names": tuple("abcdefghij")}, "order for DD-Ranking isn't known"),
        (
            {"class_names": GIVEN.class_names[:4], "classes": GIVEN.classes % 4},
            "needs all classes of cifar10, but .* has 4 of them",
        ),
    ],
)
def test_a_set_that_dd_ranking_cannot_use_is_refused(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        EXPORTS["dd-ranking"].write(tmp_path, replace(GIVEN, **changes))
    assert list(tmp_path.iterdir()) == []
