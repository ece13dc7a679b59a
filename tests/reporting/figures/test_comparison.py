"""Two sets side by side: each image unaltered, on its side, in its class's line."""

import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.comparison import Side, draw_comparison
from tests.reporting.figures.pictures import clear_border, noise

LONG = "supercalifragilisticexpialidocious golden_retriever of the Chesapeake-Bay"


def plain(values, size=(8, 8)):
    """Grey images of one value each."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), *size, 1))


def side(title, values, labels, size=(8, 8)):
    return Side(
        title, ["1 image per class", "test accuracy 50.0 ± 1.0 %"], plain(values, size), np.array(labels)
    )


def corner(picture, value):
    """Top, left and count of the pixels of an image of one grey value."""
    places = np.argwhere((np.asarray(picture) == value).all(axis=-1))
    return (*places.min(axis=0), len(places))


def test_each_image_stands_on_its_side_in_the_line_of_its_class():
    left, right = side("run_1", [10, 20, 30], [0, 1, 2]), side("run_2", [70, 80, 90], [0, 1, 2])
    picture = draw_comparison(left, right, ["a", "b", "c"])
    for one, other in ((10, 70), (20, 80), (30, 90)):
        (top, start, count), (beside, later, as_many) = corner(picture, one), corner(picture, other)
        assert top == beside
        assert start < later
        assert count == as_many == 96 * 96


def test_numbers_of_images_may_differ():
    left, right = side("run_1", [10, 20], [0, 1]), side("run_2", [70] * 7 + [90] * 7, [0] * 7 + [1] * 7)
    picture = draw_comparison(left, right, ["a", "b"])
    assert corner(picture, 10)[0] == corner(picture, 70)[0] < corner(picture, 20)[0] == corner(picture, 90)[0]
    assert corner(picture, 70)[2] == 7 * corner(picture, 10)[2]


@pytest.mark.parametrize("classes", [1, 2, 10, 37, 100, 200])
@pytest.mark.parametrize("per_class", [1, 10])
def test_nothing_is_clipped(classes, per_class):
    labels = np.repeat(np.arange(classes), per_class)
    one, other = (
        Side(LONG, [LONG] * 3, noise(len(labels)), labels),
        Side("run_2", [], noise(classes), np.arange(classes)),
    )
    assert clear_border(draw_comparison(one, other, [LONG] * classes), 16)


def test_two_headings_are_told_apart():
    same = side("run_1", [10], [0])
    picture = draw_comparison(same, side("run_22", [10], [0]), ["a"])
    again = draw_comparison(same, side("run_33", [10], [0]), ["a"])
    assert np.asarray(picture).shape == np.asarray(again).shape
    assert (np.asarray(picture) != np.asarray(again)).any()


def test_images_of_different_sizes_are_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="different sizes"):
        draw_comparison(side("a", [1], [0]), side("b", [1], [0], (9, 8)), ["a"])
    with pytest.raises(ConfigError, match="1 classes"):
        draw_comparison(side("a", [1], [0]), side("b", [1], [1]), ["a"])
