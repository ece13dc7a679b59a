import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.downloads import (
    CIFAR10_NAMES,
    CIFAR100_NAMES,
    example_splits,
    write_cifar10_binary,
    write_cifar100_binary,
)
from tests.data.examples import whole


@pytest.fixture
def ten(tmp_path):
    """Two hundred images, the five batches of different lengths."""
    splits = example_splits(10, 203, 20, 32, 32, 3)
    return write_cifar10_binary(tmp_path / "cifar-10-batches-bin", splits), splits


@pytest.fixture
def hundred(tmp_path):
    splits = example_splits(100, 200, 100, 32, 32, 3)
    return write_cifar100_binary(tmp_path / "cifar-100-binary", splits), splits


@pytest.mark.parametrize(("name", "class_names"), [("ten", CIFAR10_NAMES), ("hundred", CIFAR100_NAMES)])
def test_images_labels_and_names(name, class_names, request):
    folder, splits = request.getfixturevalue(name)
    source = open_source(f"cifar{len(class_names)}", folder)
    assert source.shape == (32, 32, 3)
    assert source.class_names == class_names
    for split, (images, labels) in splits.items():
        found = whole(source, split, 64)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, labels)
    assert "binary version" in source.notes[0]
    assert "50000 and 10000" in source.notes[1]


def test_without_the_list_of_names(ten, hundred):
    (ten[0] / "batches.meta.txt").unlink()
    (hundred[0] / "fine_label_names.txt").unlink()
    assert open_source("cifar10", ten[0]).class_names == CIFAR10_NAMES
    assert open_source("cifar100", hundred[0]).class_names == tuple(map(str, range(100)))


def test_another_resolution(ten):
    assert whole(open_source("cifar10", ten[0], 16), "test").images.shape == (20, 16, 16, 3)


def test_the_other_one_under_this_name(ten):
    with pytest.raises(ConfigError, match="rcig prepare cifar10 --from"):
        open_source("cifar100", ten[0])
    assert open_source("my_own", ten[0]).class_names == CIFAR10_NAMES


@pytest.mark.parametrize("name", ["data_batch_3.bin", "test_batch.bin"])
def test_a_missing_batch(ten, name):
    (ten[0] / name).unlink()
    with pytest.raises(NotFound, match=f"{name} is missing"):
        open_source("cifar10", ten[0])


@pytest.mark.parametrize("cut", [1, 3072, 3074])
def test_a_batch_cut_short(ten, cut):
    path = ten[0] / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(Corrupt, match=r"data_batch_2\.bin ends in the middle"):
        open_source("cifar10", ten[0])


def test_a_batch_cut_short_while_it_is_read(ten):
    source = open_source("cifar10", ten[0])
    path = ten[0] / "data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-3073])
    with pytest.raises(Corrupt, match=r"data_batch_2\.bin is cut short"):
        list(source.batches("train", 8))


def test_an_empty_batch(ten):
    (ten[0] / "data_batch_2.bin").write_bytes(b"")
    with pytest.raises(Corrupt, match=r"data_batch_2\.bin holds no images"):
        open_source("cifar10", ten[0])


def test_a_label_that_is_none(ten, hundred):
    path = ten[0] / "data_batch_5.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    with pytest.raises(Corrupt, match=r"data_batch_5\.bin holds the label 10 where there are 10"):
        open_source("cifar10", ten[0])
    path = hundred[0] / "test.bin"
    path.write_bytes(b"\x00\xff" + path.read_bytes()[2:])
    with pytest.raises(Corrupt, match=r"test\.bin holds the label 255"):
        open_source("cifar100", hundred[0])


def test_a_class_without_training_images(tmp_path):
    splits = example_splits(10, 50, 10, 32, 32, 3)
    splits["train"] = splits["train"][0], np.where(splits["train"][1] == 7, 6, splits["train"][1])
    with pytest.raises(ConfigError, match="no training image of class 7"):
        open_source("cifar10", write_cifar10_binary(tmp_path, splits))


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"cat\ndog\n", ConfigError, "2 names for 10"),
        (b"cat\n" * 10, ConfigError, "repeated"),
        ("\n".join(["a\x1b[2J", *"bcdefghij"]).encode(), ConfigError, "unprintable"),
        (b"\xff\xfe" * 20, Corrupt, "UTF-8"),
    ],
)
def test_a_list_of_names_that_cannot_be(ten, content, error, sentence):
    (ten[0] / "batches.meta.txt").write_bytes(content)
    with pytest.raises(error, match=sentence):
        open_source("cifar10", ten[0])


def test_a_list_of_names_too_large_for_one(ten):
    with (ten[0] / "batches.meta.txt").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(Corrupt, match="too large"):
        open_source("cifar10", ten[0])
