"""Plots: what is asked for is in them, whole and on white, and nothing is said meanwhile."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels

LINE = Series("n_hessian 20", [2, 5, 10, 20], [50.0, 60.0, 70.0, 72.0], [3.0, 2.0, 2.0, 1.0])


def pixels(encoded):
    with Image.open(io.BytesIO(encoded)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def test_a_picture_is_on_white_and_touches_no_border():
    many = [Series(f"a rather long name of a setting, number {n}", [1, 2], [n, n + 1]) for n in range(12)]
    panels = [Panel("x", "y", many), Panel("x", "y", [LINE], 40.0, "random images")]
    drawn = pixels(draw_panels(panels, "title"))
    for border in (drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]):
        assert (border == 255).all()
    assert (drawn < 128).any()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_panels_stand_side_by_side(count):
    drawn = pixels(draw_panels([Panel("x", "y", [LINE])] * count, "title"))
    assert drawn.shape[1] == pytest.approx(506 * count, abs=2)


def test_a_later_panel_that_goes_higher_is_whole_too():
    low, high = Series("a", [1, 2], [1, 2]), Series("a", [1, 2], [1, 30])
    drawn = pixels(
        draw_panels([Panel("x", "y", [low], from_zero=True), Panel("x", "y", [high], from_zero=True)], "")
    )
    blue = (drawn == (0, 114, 178)).all(axis=2)  # the first colour
    height, width = blue.shape
    last = blue[: height // 2, int(0.9 * width) :]  # where the highest point is
    marker_rows = np.flatnonzero(last.sum(axis=1) > 4)
    assert len(marker_rows) >= 5


def test_each_series_has_a_colour_of_its_own():
    series = [Series(str(n), [1, 2], [n, n]) for n in range(8)]
    drawn = pixels(draw_panels([Panel("x", "y", series)], "")).reshape(-1, 3)
    saturated = drawn[(drawn.max(axis=1) - drawn.min(axis=1)) > 60]
    colours, counts = np.unique(saturated, axis=0, return_counts=True)
    assert (counts > 300).sum() >= 7  # the eighth is grey
    assert len(colours) > 7


def test_the_same_numbers_give_the_same_bytes():
    panels = [Panel("x", "y", [LINE], from_zero=True)]
    assert draw_panels(panels, "t") == draw_panels(panels, "t")


def test_one_point_alone_can_be_drawn():
    draw_panels([Panel("x", "y", [Series("one", [1], [2], [0.0], joined=False)])], "")


@pytest.mark.parametrize(
    ("panels", "said"),
    [
        ([], "nothing to draw"),
        ([Panel("x", "y", [])], "nothing to draw"),
        ([Panel("x", "y", [Series("a", [1, 2], [1])])], "a has 2 places, 1 heights"),
        ([Panel("x", "y", [Series("a", [], [])])], "a has 0 places"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence(panels, said):
    with pytest.raises(ConfigError, match=said):
        draw_panels(panels, "")


def test_drawing_is_silent_even_without_a_home(tmp_path):
    code = (
        "import sys; from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels\n"
        "assert 'matplotlib' not in sys.modules\n"
        "draw_panels([Panel('x', 'y', [Series('a', [1, 2], [1, 2])])], 't')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    home = {
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": "/nonexistent",
        "PYTHONPATH": ".",
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_logarithms_stand_as_far_apart_as_their_places_are_multiples():
    dots = Series("a", [100, 1000, 10_000], [1.0, 1.0, 1.0], joined=False)
    drawn = pixels(draw_panels([Panel("steps", "y", [dots], logarithmic=True)], "title"))
    blue = (np.abs(drawn - [0, 114, 178]).max(axis=2) < 30)[: drawn.shape[0] * 2 // 3].any(axis=0)
    columns = np.flatnonzero(blue)
    dots_at = [group.mean() for group in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)]
    assert len(dots_at) == 3
    assert dots_at[1] - dots_at[0] == pytest.approx(dots_at[2] - dots_at[1], abs=2)
