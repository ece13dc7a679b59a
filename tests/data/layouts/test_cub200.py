import numpy as np
import pytest

from rcig_cli.data.images.pixels import to_square
from rcig_cli.data.sources.opening import open_source
from rcig_cli.errors import ConfigError, Corrupt
from tests.data.downloads import save_jpeg, write_cub200
from tests.data.examples import pixels, whole


@pytest.fixture
def birds(tmp_path):
    return write_cub200(tmp_path / "CUB_200_2011", classes=4)


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", ["cub200", "caltech_birds2011", "my_birds"])
def test_two_hundred_birds_at_32_pixels(tmp_path, name):
    source = open_source(name, write_cub200(tmp_path))
    assert source.shape == (32, 32, 3)
    assert source.sizes == {"train": 400, "test": 200}
    assert source.class_names[0] == "Some Bird 1"
    assert len(source.class_names) == 200
    assert source.labels("train").tolist() == [number // 2 for number in range(400)]
    assert source.labels("test").tolist() == list(range(200))
    assert "5994 and 5794" in source.notes[-1]


def test_images_are_in_the_order_of_the_list(birds):
    from PIL import Image

    source = open_source("cub200", birds)
    test = whole(source, "test")
    paths = [line.split()[1] for line in (birds / "images.txt").read_text().splitlines()][2::3]
    due = [to_square(np.asarray(Image.open(birds / "images" / path))[None], 32)[0] for path in paths]
    np.testing.assert_array_equal(test.images, due)


def test_the_order_of_the_lines_of_other_lists_does_not_matter(birds):
    before = whole(open_source("cub200", birds), "train")
    for name in ("image_class_labels.txt", "train_test_split.txt"):
        lines = (birds / name).read_text().splitlines()
        (birds / name).write_text("\n".join(lines[::-1]))
    after = whole(open_source("cub200", birds), "train")
    np.testing.assert_array_equal(before.images, after.images)
    np.testing.assert_array_equal(before.labels, after.labels)


def test_grey_pictures_become_rgb(birds):
    line = (birds / "images.txt").read_text().splitlines()[0]
    save_jpeg(birds / "images" / line.split()[1], pixels(50, 60))
    assert whole(open_source("cub200", birds), "train").images.shape == (8, 32, 32, 3)


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "/etc/hosts", "gone.jpg", "", "a/../../../secret.jpg", "x" * 9999]
)
def test_a_path_that_leads_out(birds, path):
    save_jpeg(birds / "secret.jpg", pixels(50, 60, 3))
    lines = (birds / "images.txt").read_text().splitlines()
    (birds / "images.txt").write_text("\n".join([f"1 {path}", *lines[1:]]))
    with pytest.raises(Corrupt, match="which is no file in images") as caught:
        open_source("cub200", birds)
    assert len(str(caught.value)) < 400


def test_a_link_that_leads_out(birds):
    line = (birds / "images.txt").read_text().splitlines()[0]
    path = birds / "images" / line.split()[1]
    path.rename(birds.parent / "secret.jpg")
    path.symlink_to(birds.parent / "secret.jpg")
    with pytest.raises(Corrupt, match="which is no file in images"):
        open_source("cub200", birds)


@pytest.mark.parametrize("label", ["0", "5", "-1", "x", "99999999999999999999", "01"])
def test_a_label_that_is_none(birds, label):
    change(birds / "image_class_labels.txt", "3 1\n", f"3 {label}\n")
    with pytest.raises(Corrupt, match=rf"says '{label}' of '3'"):
        open_source("cub200", birds)


def test_a_split_that_is_none(birds):
    change(birds / "train_test_split.txt", "3 0\n", "3 2\n")
    with pytest.raises(Corrupt, match="says '2' of '3'"):
        open_source("cub200", birds)


@pytest.mark.parametrize("name", ["images", "image_class_labels", "train_test_split"])
def test_a_list_cut_short(birds, name):
    path = birds / f"{name}.txt"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]))
    with pytest.raises(Corrupt, match="don't number the same images"):
        open_source("cub200", birds)


def test_a_number_given_twice(birds):
    change(birds / "images.txt", "2 ", "1 ")
    with pytest.raises(Corrupt, match="has a number twice"):
        open_source("cub200", birds)


@pytest.mark.parametrize("content", ["", "1 a", "1 a\n3 b", "0 a\n1 b", "<html>"])
def test_classes_that_are_not_numbered(birds, content):
    (birds / "classes.txt").write_text(content)
    with pytest.raises(Corrupt, match="doesn't number its classes"):
        open_source("cub200", birds)


def test_classes_of_one_name(birds):
    (birds / "classes.txt").write_text("1 a\n2 a\n3 b\n4 c")
    with pytest.raises(ConfigError, match="repeated"):
        open_source("cub200", birds)


def test_all_in_one_split(birds):
    path = birds / "train_test_split.txt"
    path.write_text(path.read_text().replace(" 0\n", " 1\n"))
    with pytest.raises(Corrupt, match="no test image"):
        open_source("cub200", birds)
    path.write_text(path.read_text().replace(" 1\n", " 0\n"))
    with pytest.raises(ConfigError, match="no training image of class 0"):
        open_source("cub200", birds)
