"""Image data in ``.npz`` files."""

import tracemalloc

import numpy as np
import pytest

from rcig_cli.data.sources.opening import open_source
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from tests.data.examples import pixels, whole

LABELS = np.array([0, 1, 2, 0])


def write(path, save=np.savez, **changes):
    arrays = {"x_train": pixels(4, 6, 6), "y_train": LABELS, "x_test": pixels(2, 6, 6), "y_test": LABELS[:2]}
    arrays.update(changes)
    save(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "own.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("tail", [(), (1,), (3,)])
def test_pixels_come_back_as_they_were(path, save, tail):
    train, test = pixels(20, 6, 6, *tail), pixels(5, 6, 6, *tail, seed=1)
    labels = np.arange(20) % 3
    write(path, save, x_train=train, y_train=labels, x_test=test, y_test=labels[:5])
    source = open_source("own", path)
    assert source.shape == (6, 6, 3 if tail == (3,) else 1)
    assert source.sizes == {"train": 20, "test": 5}
    assert source.class_names == ("0", "1", "2")
    assert source.notes == (Note("format", f"{path} is read as an .npz file."),)
    assert (whole(source, "train").images.ravel() == train.ravel()).all()
    assert (whole(source, "test").images.ravel() == test.ravel()).all()
    assert whole(source, "train").labels.tolist() == labels.tolist()


def test_alpha_is_laid_over_white(path):
    images = pixels(4, 6, 6, 4)
    images[..., 3] = 0
    source = open_source("own", write(path, x_train=images, x_test=images[:2]))
    assert source.shape == (6, 6, 3)
    assert (whole(source, "train").images == 255).all()


def flawed(value):
    images = np.full((4, 6, 6), 0.5, np.float32)
    images[1, 2, 3] = value
    return images


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_test": None}, "has y_test but no images for these labels"),
        ({"x_train": pixels(4, 35)}, "shape"),
        ({"x_train": pixels(4, 6, 6, 2)}, "shape"),
        ({"x_train": pixels(0, 6, 6), "y_train": LABELS[:0]}, "has 0 images"),
        ({"x_train": pixels(4, 0, 6)}, "0 x 6"),
        ({"x_train": np.zeros((4, 6, 9000), np.uint8)}, "9000"),
        ({"x_train": pixels(4, 6, 6).astype(complex)}, "type complex"),
        ({"x_test": pixels(2, 6, 6, 3)}, "differ"),
        ({"x_train": flawed(np.nan), "x_test": flawed(0)[:2]}, "nan"),
        ({"x_train": flawed(-1), "x_test": flawed(0)[:2]}, "-1 to 0.5"),
        ({"x_train": flawed(300), "x_test": flawed(0)[:2]}, "to 300"),
        ({"y_train": LABELS[:3]}, "4 labels"),
        ({"y_train": LABELS + 0.5}, "the label 0.5"),
        ({"class_names": np.array(["a", "b"])}, "but 2 classes"),
        ({"class_names": np.arange(3)}, "not a list of at most 100000 strings"),
        ({"class_names": np.zeros(3, "U9000000")}, "too large"),
    ],
)
def test_wrong_content_is_refused_in_one_sentence(path, changes, said):
    with pytest.raises(ConfigError, match=said) as caught:
        open_source("own", write(path, **changes))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_replaced_between_two_passes_is_refused(path):
    source = open_source("own", write(path))
    whole(source, "train")
    write(path, x_train=pixels(4, 6, 6, seed=9))
    with pytest.raises(Corrupt, match="is damaged"):
        whole(source, "train")
    path.unlink()
    with pytest.raises(NotFound):
        whole(source, "train")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_is_bounded_by_the_batch(path, save):
    images = np.zeros((4000, 32, 32, 3), np.uint8)
    labels = np.arange(4000) % 10
    write(path, save, x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])
    tracemalloc.start()
    assert sum(len(batch) for batch in open_source("own", path).batches("train", 50)) == 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 8


@pytest.mark.parametrize(
    ("name", "given", "last"),
    [
        ("cifar10", None, "truck"),
        ("mine", None, "9"),
        ("cifar10", list("abcdefghij"), "j"),
        ("mine", np.array(list("abcdefghij"), "S"), "j"),
    ],
)
def test_class_names_of_the_file_come_before_known_ones(path, name, given, last):
    images, labels = pixels(10, 8, 8, 3), np.arange(10)
    write(path, x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=given)
    assert open_source(name, path).class_names[9] == last
