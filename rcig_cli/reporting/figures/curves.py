"""The metrics of a run against its outer steps.

Each value is drawn as a thin line, with a running median over 1/25 of the run as a thick one.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.errors import NotFound
from rcig_cli.reporting.figures.canvas import Heading
from rcig_cli.reporting.figures.plots import COLOURS, GREY, new_figure, set_title, tick_text, tidy, to_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rcig_cli.distillation.methods import Metric

Floats = npt.NDArray[np.float64]

_WIDTH, _ROW, _PADDING = 9.0, 3.2, 0.12  # inches
_STRETCHES = 25
_POINTS = 400  # of a median's line
_FEWEST = 40  # steps that are smoothed
_LETTERS = 32  # beside a panel
_THIN: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.35}
_THICK: dict[str, Any] = {"linewidth": 1.8}


def columns_of(records: Sequence[Mapping[str, float | None]]) -> dict[str, Floats]:
    """Turn records, one for each step, into columns; a value that is missing or None becomes NaN."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: np.array([record.get(name) for record in records], np.float64) for name in names}


def draw_curves(columns: Mapping[str, Floats], metrics: Sequence["Metric"], heading: Heading) -> Image.Image:
    """Draw metrics against outer steps, two panels to a row, in RGB on white.

    Parameters
    ----------
    columns
        By name, one value for each step (NaN where it was not finite), and ``step`` itself.
    metrics
        How to draw them; those without two different finite values are left out, except in a run of one step.
    heading
        What is written above all panels.

    Raises
    ------
    NotFound
        If there is nothing to draw.
    """
    panels: dict[str, list[Metric]] = {}
    for metric in metrics:
        values = columns.get(metric.name, np.array([]))
        values = values[np.isfinite(values)]
        if len(values) == 1 or len(np.unique(values)) > 1:
            panels.setdefault(metric.panel, []).append(metric)
    if not panels:
        raise NotFound("There is nothing to draw: the run has no metrics that change.")
    rows = -(-len(panels) // 2)
    figure = new_figure(_WIDTH, _ROW * rows + 1.0, padding=_PADDING)
    set_title(figure, heading.title, heading.details)
    grid, explained = figure.add_gridspec(rows, 2), set[tuple[str, ...]]()
    for index, (panel, members) in enumerate(panels.items()):
        alone = index == len(panels) - 1 and index % 2 == 0
        axes = figure.add_subplot(grid[index // 2, :] if alone else grid[index // 2, index % 2])
        _draw(axes, columns, members)
        labels = tuple(metric.label for metric in members)
        shown = labels[0] if len(labels) == 1 else panel[:1].lower() + panel[1:]
        axes.set_ylabel(textwrap.fill(shown, _LETTERS))
        if len(labels) > 1 and labels not in explained:  # the same lines look the same in all panels
            explained.add(labels)
            axes.legend(
                loc="lower right", bbox_to_anchor=(1, 1), ncols=len(labels), frameon=False, fontsize=10
            )  # above the panel, where it covers no line
    if len(columns["step"]) >= _FEWEST:
        _explain_lines(figure)
    return to_image(figure)


def running_median(values: Floats, width: int, places: npt.NDArray[np.int64]) -> Floats:
    """Median of the ``width`` values around each place, fewer at the ends; NaN and infinities are ignored."""
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)[places]
    finite = (window[np.isfinite(window)] for window in windows)
    return np.array([np.median(window) if len(window) else np.nan for window in finite])


def _draw(axes: "Axes", columns: Mapping[str, Floats], metrics: Sequence["Metric"]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    steps = columns["step"]
    logarithmic = any(metric.log for metric in metrics)
    for index, metric in enumerate(metrics):
        values = columns[metric.name] * (100 if metric.percent else 1)
        colour = COLOURS[index % len(COLOURS)]
        if logarithmic:
            values = np.where(values > 0, values, np.nan)
        if len(values) < _FEWEST:
            dot = "o" if len(values) == 1 else ""
            axes.plot(steps, values, color=colour, marker=dot, label=metric.label, **_THICK)
            continue
        axes.plot(steps, values, color=colour, **_THIN)
        places = np.unique(np.linspace(0, len(values) - 1, _POINTS).round().astype(np.int64))
        median = running_median(values, max(3, len(values) // _STRETCHES), places)
        axes.plot(steps[places], median, color=colour, label=metric.label, **_THICK)
    if logarithmic:  # few numbers between the powers of ten
        axes.set_yscale("log")
        low, high = np.log10(axes.get_ylim())
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high - low < 3 else (1.0,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("outer steps")
    axes.margins(x=0.01)
    tidy(axes)


def _explain_lines(figure: "Figure") -> None:
    """Write below all panels what thin and thick lines are."""
    from matplotlib.lines import Line2D

    figure.legend(
        [Line2D([], [], color=GREY, **_THIN), Line2D([], [], color=GREY, **_THICK)],
        ["each step", f"running median over 1/{_STRETCHES} of the steps"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=10,
    )
