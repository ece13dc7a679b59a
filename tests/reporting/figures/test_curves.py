"""Curves: the median is the median, extremes survive thinning, and the picture is whole."""

import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.curves import (
    ACCURACY,
    LOSS,
    NORMS,
    RATES,
    draw_curves,
    running_median,
    thinned,
)
from tests.reporting.figures.pictures import clear_border, opened

BLUE, ORANGE = (0, 114, 178), (213, 94, 0)


def metrics(count, **more):
    steps = np.arange(1, count + 1)
    return {
        "step": steps.tolist(),
        "loss": (1 / steps).tolist(),
        "accuracy": (1 - 1 / steps).tolist(),
        "direct_norm": (2.0 / steps).tolist(),
        "implicit_norm": (1.0 / steps).tolist(),
        **more,
    }


def test_the_running_median_is_that_of_the_values_around():
    values = np.random.default_rng(0).normal(size=50)
    places = np.array([0, 3, 25, 49])
    found = running_median(values, 7, places)
    expected = [
        np.median(values[:4]),
        np.median(values[:7]),
        np.median(values[22:29]),
        np.median(values[46:]),
    ]
    np.testing.assert_array_equal(found, expected)


def test_the_running_median_passes_over_what_is_not_finite():
    values = np.array([1.0, np.nan, 3.0, np.inf, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(running_median(values, 3, np.array([1, 5])), [2.0, np.nan])


def test_thinning_keeps_the_extremes_in_order():
    values = np.random.default_rng(0).normal(size=15_000)
    values[7_777], values[11] = 50.0, -50.0
    steps, kept = thinned(np.arange(15_000.0), values, 400)
    assert len(steps) <= 400
    assert (np.diff(steps) > 0).all()
    assert (kept == values[steps.astype(int)]).all()
    assert (kept.max(), kept.min()) == (50.0, -50.0)


def drawn(count, panels, **more):
    encoded = draw_curves(metrics(count, **more), panels, "run_1: $x^2 <b>")
    return encoded, opened(encoded)


def test_a_long_run_is_whole_and_small():
    encoded, pixels = drawn(15_000, [LOSS, ACCURACY, NORMS])
    assert len(encoded) < 300_000
    assert clear_border(pixels, 4)
    assert (pixels[0, 0] == 255).all()


def test_two_panels_stand_in_a_line_and_a_third_below():
    two, three = (drawn(60, [LOSS, ACCURACY, NORMS][:count])[1] for count in (2, 3))
    assert two.shape[1] == three.shape[1]
    assert three.shape[0] > 1.6 * two.shape[0]


def test_the_line_goes_where_the_numbers_go():
    falling = drawn(200, [LOSS], loss=np.linspace(2, 1, 200).tolist())[1]
    places = np.argwhere((falling == BLUE).all(axis=-1))
    rows, columns = places.T
    assert rows[columns.argmin()] < rows[columns.argmax()]
    assert np.ptp(columns) > 0.8 * falling.shape[1]


def test_direct_and_implicit_have_a_colour_each_and_a_legend():
    pixels = drawn(300, [NORMS])[1]
    blue, orange = ((pixels == colour).all(axis=-1) for colour in (BLUE, ORANGE))
    assert blue.sum() > 500
    assert orange.sum() > 500
    # The direct norm is twice the implicit one: its line lies above.
    assert np.argwhere(blue)[:, 0].mean() < np.argwhere(orange)[:, 0].mean()


def test_missing_metrics_are_left_out():
    with_rates = drawn(60, [LOSS, RATES])[1]
    alone = drawn(60, [LOSS])[1]
    np.testing.assert_array_equal(with_rates, alone)


@pytest.mark.parametrize("count", [1, 2, 39, 40])
def test_any_number_of_steps(count):
    assert clear_border(drawn(count, [LOSS, ACCURACY, NORMS])[1], 4)


def test_numbers_that_were_not_finite_or_are_zero_leave_gaps():
    pixels = drawn(3, [LOSS, NORMS], loss=[1.0, None, 2.0], direct_norm=[0.0, 0.1, None])[1]
    assert clear_border(pixels, 4)


def test_nothing_to_draw_is_refused_in_a_sentence():
    with pytest.raises(ConfigError, match="nothing to draw"):
        draw_curves({"step": [], "loss": []}, [LOSS], "t")
    with pytest.raises(ConfigError, match="nothing to draw"):
        draw_curves({"step": [1]}, [LOSS], "t")


def test_the_same_numbers_give_the_same_bytes():
    assert drawn(50, [LOSS, NORMS])[0] == drawn(50, [LOSS, NORMS])[0]
