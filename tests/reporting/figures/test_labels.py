"""The heat map: each label has the colour of its value, and everything is on the page."""

import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.labels import ABOVE, BELOW, MIDDLE, colour_of, draw_labels, number
from tests.reporting.figures.pictures import clear_border, noise

LONG = "supercalifragilisticexpialidocious golden_retriever of the Chesapeake-Bay"


def centred(classes, per_class=1):
    own = np.repeat(np.arange(classes), per_class)
    return np.eye(classes)[own] - 1 / classes, own


def named(count):
    return [f"class name {index}" for index in range(count)]


def counted(picture, colour):
    return int((np.asarray(picture) == colour).all(axis=-1).sum())


def test_colours_diverge_from_nearly_white_at_zero():
    assert (colour_of(-1.0), colour_of(0.0), colour_of(1.0)) == (BELOW, MIDDLE, ABOVE)
    reds = [colour_of(share)[0] for share in np.linspace(-1, 0, 20)]
    blues = [colour_of(share)[2] for share in np.linspace(0, 1, 20)]
    assert reds == sorted(reds)
    assert blues == sorted(blues, reverse=True)


def test_numbers_have_no_negative_zero():
    assert [number(value) for value in (-0.004, 0.0, -0.1, 1.25)] == ["0.00", "0.00", "-0.10", "1.25"]


def test_each_cell_has_the_colour_of_its_value():
    values, own = centred(3)
    values[0] = [-2.0, 0.5, 2.0]
    picture = draw_labels(noise(3), values, own, named(3))
    seen = [colour_of(value / 2.0) for value in values.ravel()]
    for colour in set(seen):
        assert counted(picture, colour) > 1000 * seen.count(colour), colour


def test_images_stand_in_the_order_of_their_rows():
    images = np.stack([np.full((8, 8, 3), hue, np.uint8) for hue in ((250, 0, 0), (0, 250, 0), (0, 0, 250))])
    values, own = centred(3)
    pixels = np.asarray(draw_labels(images, values, own, named(3)))
    tops = [np.flatnonzero((pixels == image[0, 0]).all(axis=-1).any(axis=1))[0] for image in images]
    assert tops == sorted(tops)
    assert [counted(pixels, image[0, 0]) for image in images] == [64 * 64] * 3


@pytest.mark.parametrize(
    "names", [named, lambda count: [LONG] * count, lambda count: ["<$x_1$>", "", "日本"][:count]]
)
@pytest.mark.parametrize(
    ("classes", "per_class", "shape"), [(1, 1, (8, 8, 1)), (3, 4, (28, 28, 1)), (3, 1, (32, 32, 3))]
)
def test_nothing_touches_the_edge(names, classes, per_class, shape):
    values, own = centred(classes, per_class)
    picture = draw_labels(noise(len(own), shape), values, own, names(classes))
    assert clear_border(picture, 16)


@pytest.mark.parametrize("classes", [2, 10, 20, 100, 200])
def test_any_number_of_classes_keeps_its_names_readable(classes):
    values, own = centred(classes)
    picture = draw_labels(noise(classes, (32, 32, 3)), values, own, named(classes))
    assert clear_border(picture, 16)
    assert picture.height > classes * 14  # a line of text for each row, and for each column
    assert picture.width > classes * 14


def test_several_images_of_a_class_come_after_the_means_and_are_limited():
    values, own = centred(10, 10)
    few, many = centred(10, 3), centred(10, 10)
    size = [draw_labels(noise(len(o), (8, 8, 1)), v, o, named(10)).size for v, o in (few, many)]
    assert size[0] == size[1]  # three of each class, and the means
    images = np.full((100, 8, 8, 1), 77, np.uint8)
    assert counted(draw_labels(images, values, own, named(10)), (77, 77, 77)) == 30 * 32 * 32


def test_the_mean_is_the_mean():
    values = np.array([[1.0, -1.0], [0.0, 0.0], [-1.0, 1.0], [-1.0, 1.0]])
    picture = draw_labels(noise(4), values, np.array([0, 0, 1, 1]), named(2))
    assert counted(picture, colour_of(0.5)) > 800
    assert counted(picture, colour_of(-0.5)) > 800


@pytest.mark.parametrize(
    ("values", "said"),
    [(np.zeros((2, 2)), "one for each"), (np.zeros(3), "one for each"), (np.full((3, 3), np.nan), "numbers")],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(values, said):
    with pytest.raises(ConfigError, match=said):
        draw_labels(noise(3), values, np.arange(3), named(3))
