"""Two sets side by side: each image on its side, as large as on the other."""

import numpy as np
import pytest

from rcig_cli.reporting.figures.canvas import Heading
from rcig_cli.reporting.figures.comparison import Side, draw_comparison
from tests.reporting.figures.pictures import LONG, clear_border, extent, grey, noise


def side(title, values, labels, size=(8, 8)):
    heading = Heading(title, "1 image per class, not evaluated")
    return Side(heading, grey(values, size), np.array(labels))


def test_each_image_is_on_its_side_at_the_height_of_its_class():
    left, right = side("run_1", [10, 20, 30], [0, 1, 2]), side("run_2", [70, 80, 90], [0, 1, 2])
    picture = draw_comparison(left, right, ["a", "b", "c"])
    for one, other in ((10, 70), (20, 80), (30, 90)):
        (top, start, area), (beside, later, same) = extent(picture, one), extent(picture, other)
        assert top == beside
        assert start < later
        assert area == same == 192 * 192


def test_numbers_of_images_may_differ():
    left, right = side("run_1", [10, 20], [0, 1]), side("run_2", [70] * 7 + [90] * 7, [0] * 7 + [1] * 7)
    picture = draw_comparison(left, right, ["a", "b"])
    assert extent(picture, 70)[2] == 7 * extent(picture, 10)[2]


@pytest.mark.parametrize("classes", [1, 37])
@pytest.mark.parametrize("per_class", [1, 10])
def test_nothing_is_clipped(classes, per_class):
    labels = np.repeat(np.arange(classes), per_class)
    one = Side(Heading(LONG, f"{LONG} {LONG} {LONG}"), noise(len(labels)), labels)
    other = Side(Heading("run_2"), noise(classes), np.arange(classes))
    assert clear_border(draw_comparison(one, other, [LONG] * classes), 32)
