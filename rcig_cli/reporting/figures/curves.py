"""The metrics of a run against its outer steps.

Each value is drawn as a light line, with a running median over 1/25 of the run as a dark one.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.plots import COLOURS, new_figure, tidy, to_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rcig_cli.distillation.methods import Metric

Floats = npt.NDArray[np.float64]

_WIDTH, _ROW, _PADDING = 9.0, 3.2, 0.12  # inches
_STRETCHES = 25
_POINTS = 400  # of a median's line
_FEWEST = 40  # steps that are smoothed


def columns_of(records: Sequence[Mapping[str, float | None]]) -> dict[str, Floats]:
    """Turn records, one for each step, into columns; a value that is missing or None becomes NaN."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: np.array([record.get(name) for record in records], np.float64) for name in names}


def draw_curves(columns: Mapping[str, Floats], metrics: Sequence["Metric"], title: str) -> Image.Image:
    """Draw metrics against outer steps, two panels to a row, in RGB on white.

    Parameters
    ----------
    columns
        By name, one value for each step (NaN where it was not finite), and ``step`` itself.
    metrics
        How to draw them; those without two different finite values are left out, except in a run of one step.
    title
        Above all panels.

    Raises
    ------
    ConfigError
        If there is nothing to draw.
    """
    panels: dict[str, list[Metric]] = {}
    for metric in metrics:
        values = columns.get(metric.name, np.array([]))
        values = values[np.isfinite(values)]
        if len(values) == 1 or len(np.unique(values)) > 1:
            panels.setdefault(metric.panel, []).append(metric)
    if not panels:
        raise ConfigError("There is nothing to draw: the run has no metrics.")
    rows = -(-len(panels) // 2)
    figure = new_figure(_WIDTH, _ROW * rows + 0.4, padding=_PADDING)
    figure.suptitle(title, fontsize=12, parse_math=False)
    grid = figure.add_gridspec(rows, 2)
    for index, (panel, members) in enumerate(panels.items()):
        alone = index == len(panels) - 1 and index % 2 == 0
        axes = figure.add_subplot(grid[index // 2, :] if alone else grid[index // 2, index % 2])
        axes.set_title(panel, fontsize=11, loc="left")
        _draw(axes, columns, members)
    return to_image(figure)


def running_median(values: Floats, width: int, places: npt.NDArray[np.int64]) -> Floats:
    """Median of the ``width`` values around each place, fewer at the ends; NaN and infinities are ignored."""
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)[places]
    finite = (window[np.isfinite(window)] for window in windows)
    return np.array([np.median(window) if len(window) else np.nan for window in finite])


def _draw(axes: "Axes", columns: Mapping[str, Floats], metrics: Sequence["Metric"]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    steps = columns["step"]
    logarithmic = any(metric.log for metric in metrics)
    for index, metric in enumerate(metrics):
        values = columns[metric.name] * (100 if metric.percent else 1)
        colour = COLOURS[index % len(COLOURS)]
        if logarithmic:
            values = np.where(values > 0, values, np.nan)
        if len(values) < _FEWEST:
            axes.plot(steps, values, color=colour, linewidth=1.6, label=metric.label)
            continue
        axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.3)
        places = np.unique(np.linspace(0, len(values) - 1, _POINTS).round().astype(np.int64))
        median = running_median(values, max(3, len(values) // _STRETCHES), places)
        axes.plot(steps[places], median, color=colour, linewidth=1.8, label=metric.label)
    if logarithmic:  # 0.02 instead of 2 x 10^-2, and few numbers between the powers of ten
        axes.set_yscale("log")
        low, high = np.log10(axes.get_ylim())
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high - low < 3 else (1.0,)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("outer steps")
    axes.margins(x=0.01)
    tidy(axes)
    if len(metrics) > 1:
        axes.legend(frameon=False, fontsize=10)
    else:
        axes.set_ylabel(metrics[0].label)
