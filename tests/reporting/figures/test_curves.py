"""Curves: the median is the median, and every metric is drawn in its panel."""

import numpy as np
import pytest

from rcig_cli.distillation.methods import Metric
from rcig_cli.errors import NotFound
from rcig_cli.reporting.figures.canvas import Heading
from rcig_cli.reporting.figures.curves import columns_of, draw_curves, running_median
from tests.reporting.figures.pictures import clear_border, extent

RUN = Heading("run_1", "test accuracy 50.0 %")
BLUE, ORANGE = (0, 114, 178), (213, 94, 0)
LOSS = Metric("loss", "outer loss", "Loss")
NORMS = [Metric(f"{name}_norm", name, "Norm", log=True) for name in ("direct", "implicit")]


def columns(count, **more):
    steps = np.arange(1, count + 1.0)
    return {"step": steps, "loss": 1 / steps, "direct_norm": 2 / steps, "implicit_norm": 1 / steps, **more}


def test_records_become_columns_with_nan_where_a_value_is_missing():
    found = columns_of([{"step": 1, "loss": None}, {"step": 2, "loss": 0.5, "late": 3}])
    np.testing.assert_array_equal(found["loss"], [np.nan, 0.5])
    np.testing.assert_array_equal(found["late"], [np.nan, 3])


def test_the_running_median_is_that_of_the_finite_values_around():
    values = np.random.default_rng(0).normal(size=50)
    found = running_median(values, 7, np.array([0, 3, 25, 49]))
    windows = values[:4], values[:7], values[22:29], values[46:]
    np.testing.assert_array_equal(found, [np.median(window) for window in windows])
    values = np.array([1.0, np.nan, 3.0, np.inf, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(running_median(values, 3, np.array([1, 5])), [2.0, np.nan])


def test_two_panels_are_in_a_row_and_a_third_below():
    other = Metric("other", "other", "Other")
    two, three = (
        draw_curves(columns(60, other=np.arange(60.0)), metrics, Heading("$x^2 <b>", "日本"))
        for metrics in ([LOSS, *NORMS], [LOSS, *NORMS, other])
    )
    assert two.width == three.width
    assert three.height > 1.6 * two.height


def test_each_metric_of_a_panel_has_its_colour_and_its_height():
    picture = draw_curves(columns(300), NORMS, RUN)
    # The direct norm is twice the implicit one, so its line is above.
    at = np.argwhere((np.asarray(picture) == BLUE).all(axis=-1))[:, 0].mean()
    assert at < np.argwhere((np.asarray(picture) == ORANGE).all(axis=-1))[:, 0].mean()
    assert extent(picture, ORANGE)[2] > 1000


def test_missing_and_constant_metrics_are_left_out():
    others = [Metric(name, name, "Others") for name in ("missing", "constant", "lost")]
    more = {"constant": np.ones(60), "lost": np.full(60, np.nan)}
    pictures = [draw_curves(columns(60, **more), metrics, RUN) for metrics in ([LOSS], [LOSS, *others])]
    np.testing.assert_array_equal(*pictures)


@pytest.mark.parametrize("count", [1, 2, 40, 15_000])
def test_any_number_of_steps_with_gaps(count):
    gaps = np.where(np.arange(count) % 3, np.arange(count) / 7.0, np.nan)
    picture = draw_curves(columns(count, direct_norm=gaps), [LOSS, *NORMS], RUN)
    assert clear_border(picture, 4)


def test_a_run_without_metrics_is_refused():
    for empty in ({"step": np.array([])}, {"step": np.array([1.0])}):
        with pytest.raises(NotFound, match="nothing to draw"):
            draw_curves(empty, [LOSS], RUN)
