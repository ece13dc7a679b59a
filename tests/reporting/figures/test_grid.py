"""The grid shows every image unaltered in its place, and nothing overlaps."""

import numpy as np
import pytest

from rcig_cli.reporting.figures.canvas import BACKGROUND, line_height
from rcig_cli.reporting.figures.grid import NAME_SIZE, draw_grid, plan_grid
from tests.reporting.figures.pictures import LONG, named, noise

ODD = ["café", "日本", "", "a\nb", "\ud800", "שלום", "<$x_1$>"]


def assert_right(images, labels, names):
    """Check a picture against its layout pixel by pixel, and return the layout."""
    pixels = np.asarray(draw_grid(images, labels, names))
    layout = plan_grid(labels, images.shape[1:3], names)
    assert pixels.shape == (layout.height, layout.width, 3)
    width, height = layout.tile
    covered = np.zeros(pixels.shape[:2], int)
    for image, (left, top) in zip(images, layout.tiles, strict=True):
        scale = height // image.shape[0]
        enlarged = np.broadcast_to(image.repeat(scale, axis=0).repeat(scale, axis=1), (height, width, 3))
        np.testing.assert_array_equal(pixels[top : top + height, left : left + width], enlarged)
        covered[top - 2 : top + height + 2, left - 2 : left + width + 2] += 1
    for name in layout.names:
        bottom = name.top + len(name.lines) * line_height(NAME_SIZE)
        area = slice(name.top, bottom), slice(name.left, name.left + name.width)
        assert (pixels[area] != BACKGROUND).any()
        covered[area] += 1
    assert covered.max() == 1
    assert (pixels[covered == 0] == BACKGROUND).all()
    covered[32:-32, 32:-32] = 0
    assert not covered.any()
    return layout


@pytest.mark.parametrize("shape", [(8, 8, 1), (128, 128, 3), (20, 33, 3)])
@pytest.mark.parametrize("per_class", [1, 3])
@pytest.mark.parametrize("names", [[LONG] * 7, ODD])
def test_every_image_is_shown_enlarged_and_every_name_written(shape, per_class, names):
    labels = np.repeat(np.arange(7), per_class)
    assert_right(noise(len(labels), shape), labels, names)


@pytest.mark.parametrize("classes", [1, 2, 37, 200])
@pytest.mark.parametrize("per_class", [1, 2])
def test_any_number_of_classes(classes, per_class):
    labels = np.repeat(np.arange(classes), per_class)
    assert len(assert_right(noise(len(labels), (8, 8, 1)), labels, named(classes)).names) == classes


@pytest.mark.parametrize(
    ("classes", "per_class"), [(100, 1), (1000, 1), (100, 2), (200, 10), (10, 10), (10, 50), (100, 50)]
)
def test_pages_are_nearly_square(classes, per_class):
    layout = plan_grid(np.repeat(np.arange(classes), per_class), (32, 32), named(classes))
    assert 2 / 3 < layout.width / layout.height < 3 / 2


def test_ten_classes_of_one_image_make_two_rows_of_five():
    layout = plan_grid(np.arange(10), (32, 32), named(10))
    assert len({top for _, top in layout.tiles}) == 2
    assert len({left for left, _ in layout.tiles}) == 5


def test_several_images_of_a_class_are_in_lines_of_at_most_ten_to_the_right_of_its_name():
    layout = plan_grid(np.repeat([0, 1], 50), (32, 32), named(2))
    first = layout.tiles[:50]
    assert len({top for _, top in first}) == 5
    assert len({left for left, _ in first}) == 10
    assert layout.names[0].left + layout.names[0].width < first[0][0]


@pytest.mark.parametrize("side", [8, 28, 128])
def test_enlargement_is_by_an_integer_and_large_enough(side):
    few = plan_grid(np.zeros(10, int), (side, side), named(1)).tile[0]
    many = plan_grid(np.zeros(101, int), (side, side), named(1)).tile[0]
    assert few % side == many % side == 0
    assert 160 <= few <= 256
    assert many >= 96


def test_labels_in_any_order_group_the_images_and_keep_their_order_within_a_class():
    labels = np.array([5, 0, 5, 2, 0, 5])  # the other classes have no images
    layout = assert_right(noise(6, (32, 32, 3)), labels, named(7))
    lefts, tops = zip(*layout.tiles, strict=True)
    assert tops[1] == tops[4] < tops[3] < tops[0] == tops[2] == tops[5]
    assert lefts[0] < lefts[2] < lefts[5]
    assert [name.lines for name in layout.names] == [(f"class name {index}",) for index in (0, 2, 5)]
