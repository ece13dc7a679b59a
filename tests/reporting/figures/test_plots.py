"""Plots: the series are in them, nothing is clipped, and nothing is printed."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels, tick_text
from tests.reporting.figures.pictures import clear_border

LINE = Series("hessian_steps 20", [2, 5, 10, 20], [50.0, 60.0, 70.0, 72.0], [3.0, 2.0, 2.0, 1.0])


def pixels(encoded):
    with Image.open(io.BytesIO(encoded)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def test_panels_are_side_by_side_on_white_and_nothing_is_clipped():
    many = [Series(f"a rather long name of a setting, number {n}", [1, 2], [n, n + 1]) for n in range(12)]
    panels = [Panel("x", "y", many), Panel("x", "y", [LINE], 40.0, "random images")]
    drawn = pixels(draw_panels(panels, "title $x"))
    assert drawn.shape[1] == pytest.approx(1012 * 2, abs=2)
    assert clear_border(drawn, 4)
    assert (drawn[0, 0] == 255).all()
    assert (drawn < 128).any()


def test_a_second_panel_with_larger_values_is_not_clipped():
    low, high = (Panel("x", "y", [Series("a", [1, 2], [1, top])], from_zero=True) for top in (2, 30))
    blue = (pixels(draw_panels([low, high], "")) == (0, 114, 178)).all(axis=2)  # the first colour
    height, width = blue.shape
    highest = blue[: height // 2, int(0.9 * width) :]
    assert len(np.flatnonzero(highest.sum(axis=1) > 8)) >= 10  # the rows of a marker


def test_each_series_has_its_own_colour():
    series = [Series(str(n), [1, 2], [n, n]) for n in range(8)]
    drawn = pixels(draw_panels([Panel("x", "y", series)], "")).reshape(-1, 3)
    _, counts = np.unique(drawn[np.ptp(drawn, axis=1) > 60], axis=0, return_counts=True)
    assert (counts > 900).sum() >= 7  # the eighth is grey


def test_panels_with_the_same_series_have_one_legend():
    def lines(*labels):
        return [Series(label, [1, 2], [n, n]) for n, label in enumerate(labels)]

    def entries(panels):
        drawn = pixels(draw_panels(panels, ""))[-200:]
        green = (np.abs(drawn - [0, 158, 115]).max(axis=2) < 30).any(axis=0)
        return (np.diff(np.flatnonzero(green)) > 100).sum() + 1

    shared, other = Panel("x", "y", lines("a", "b", "c")), Panel("x", "y", lines("a", "b", "d"))
    assert (entries([shared, shared, shared]), entries([shared, other])) == (1, 2)


def test_a_marker_at_zero_is_drawn_whole():
    heights = []
    for bottom in (0.0, 0.5):
        panel = Panel("x", "y", [Series("a", [1], [bottom]), Series("b", [2], [1.0])], from_zero=True)
        blue = (pixels(draw_panels([panel], "")) == (0, 114, 178)).all(axis=2)[:-150]
        left = blue[:, : blue.shape[1] // 2]
        heights.append(np.flatnonzero(left.any(axis=1)).size)
    assert abs(heights[0] - heights[1]) <= 1


def test_names_in_any_script_and_formulas_are_text():
    series = [Series("_日本 $x Zürich", [1, 2], [1, 2]), Series("日本", [1, 2], [2, 1])]
    assert clear_border(pixels(draw_panels([Panel("x", "y", series, title="日本 $")], "हिन्दी $x")), 4)


@pytest.mark.parametrize(
    ("value", "text"), [(0.002, "0.002"), (2e-5, "2·10⁻⁵"), (1e-5, "10⁻⁵"), (1e6, "10⁶"), (-2.5, "−2.5")]
)
def test_numbers_at_axes_have_proper_signs_and_powers(value, text):
    assert tick_text(value) == text


def test_a_logarithmic_axis_has_equal_distances_for_equal_ratios():
    dots = [Series(name, [x], [1.0]) for name, x in (("a", 100), ("b", 1000), ("c", 10_000))]
    drawn = pixels(draw_panels([Panel("steps", "y", dots, logarithmic=True)], "title"))
    places = []
    for colour in ((0, 114, 178), (213, 94, 0), (0, 158, 115)):
        found = (np.abs(drawn - colour).max(axis=2) < 30)[: drawn.shape[0] * 2 // 3].any(axis=0)
        places.append(np.flatnonzero(found).mean())
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=2)


def test_drawing_prints_nothing_even_without_a_home_folder(tmp_path):
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
