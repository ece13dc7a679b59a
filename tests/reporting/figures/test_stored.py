"""Pictures of stored arrays: each has its own range, and all are on the page under their title."""

import numpy as np

from rcig_cli.reporting.figures.stored import StoredPictures, draw_stored, to_own_range
from tests.reporting.figures.pictures import LONG, clear_border, named


def test_each_array_is_scaled_to_its_own_range():
    arrays = np.array([[-3.0, 1.0], [1000.0, 1001.0], [7.0, 7.0]], np.float32).reshape(3, 1, 2, 1)
    assert to_own_range(arrays).reshape(3, 2).tolist() == [[0, 255], [0, 255], [0, 0]]


def test_all_parts_are_drawn_below_their_titles():
    arrays = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype(np.float32)
    part = StoredPictures(LONG, arrays, np.repeat(np.arange(3), 2), named(3))
    one, two = draw_stored([part]), draw_stored([part, part])
    assert clear_border(two, 32)
    assert two.height == 2 * one.height
    top, bottom = np.split(np.asarray(two), 2)
    assert (top == bottom).all()
