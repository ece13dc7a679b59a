"""The heat map: each cell has the colour of its value, and everything is on the page."""

import numpy as np
import pytest

from rcig_cli.reporting.figures.labels import draw_labels
from tests.reporting.figures.pictures import LONG, clear_border, extent, grey, named, noise

BLUE, WHITE, ORANGE = (0, 98, 160), (252, 252, 250), (213, 94, 0)


def centred(classes, per_class=1):
    own = np.repeat(np.arange(classes), per_class)
    return np.eye(classes)[own] - 1 / classes, own


def test_cells_are_orange_above_zero_and_blue_below():
    values, own = np.array([[2.0, 0.0, -2.0]] * 3), np.arange(3)
    picture = np.asarray(draw_labels(grey([7, 8, 9]), values, own, ["a", "b", "c"]))[:-180]  # less the scale
    (_, orange, area), (_, white, _), (_, blue, _) = (extent(picture, c) for c in (ORANGE, WHITE, BLUE))
    assert orange < white < blue
    assert area > 3 * 80 * 100  # three cells, less their texts


def test_images_are_in_the_order_of_their_rows():
    values, own = centred(3)
    picture = draw_labels(grey([70, 80, 90]), values, own, named(3))
    tops, lefts, areas = zip(*(extent(picture, value) for value in (70, 80, 90)), strict=True)
    assert list(tops) == sorted(tops)
    assert len(set(lefts)) == 1
    assert min(areas) > 120 * 120


@pytest.mark.parametrize(
    "names", [named, lambda count: [LONG] * count, lambda count: ["$x_1$", "日本"] * count]
)
@pytest.mark.parametrize(("classes", "per_class"), [(1, 1), (2, 4), (60, 1)])
def test_nothing_is_clipped(names, classes, per_class):
    values, own = centred(classes, per_class)
    picture = draw_labels(noise(len(own), (28, 28, 1)), values, own, names(classes)[:classes])
    assert clear_border(picture, 32)
    assert min(picture.size) > classes * 28  # a line of text for each row and each column


def test_several_images_of_a_class_follow_the_mean_labels_and_are_limited():
    few, many = (centred(10, count) for count in (20, 30))
    sizes = [draw_labels(noise(len(own)), values, own, named(10)).size for values, own in (few, many)]
    assert sizes[0] == sizes[1]


def test_ten_images_of_each_of_ten_classes_are_all_shown():
    values, own = centred(10, 10)
    nine, ten = (draw_labels(noise(n), values[:n], own[:n], named(10)) for n in (99, 100))
    assert ten.height > 100 * 36
    assert ten.height - nine.height >= 36


def test_the_mean_is_the_mean():
    values = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, -1.0]])
    picture = draw_labels(grey([7, 8, 9, 10]), values, np.array([0, 0, 1, 1]), ["a", "b"])
    assert extent(picture, WHITE)[2] > 2 * 80 * 30  # the mean of the first class is 0
    assert extent(picture, WHITE)[0] < extent(picture, 7)[0]


def test_numbers_are_black_or_white_whichever_contrasts_more():
    values = np.array([[2.0, 1.0, -2.0]] * 3)
    picture = np.asarray(draw_labels(grey([7, 8, 9]), values, np.arange(3), ["a", "b", "c"]))
    text = {(0, 0, 0): [ORANGE], (255, 255, 255): [BLUE]}
    for colour, backgrounds in text.items():
        top, left, _ = extent(picture, colour)
        assert any((picture[top, left - 20 : left + 20] == each).all(axis=-1).any() for each in backgrounds)
