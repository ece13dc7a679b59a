"""Plots with Matplotlib: panels of series with error bars, and functions that all plots share.

Figures are made without Matplotlib's global state, so that they don't depend on earlier plots.  Matplotlib
is imported when something is drawn, because importing it takes half a second.
"""

import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from PIL import Image

from rcig_cli.reporting.figures.canvas import encode_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable with colour blindness and dark enough on white (after Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a34f83", "#8a6d00", "#2f2f2f", "#3d9bd6", "#c08000")
_MARKERS = "osD^vPX*"
DOTS_PER_INCH = 110
_PANEL = 4.6, 3.6  # inches
_LEGEND_LINE = 0.22  # inches
_MOST_TICKS = 8  # at the places of points
_CLOSEST_TICKS = 0.06  # of the axis, between two of these; closer labels would overlap
_MOST_MARKED = 12  # points; a longer line has no markers


@dataclass(frozen=True)
class Series:
    """Points with one colour and one entry of the legend."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()  # half the height of each error bar
    joined: bool = True  # by a line, in the order of x


@dataclass(frozen=True)
class Panel:
    """One pair of axes, with at least one series."""

    x_label: str
    y_label: str
    series: Sequence[Series]
    level: float | None = None  # the height of a dashed horizontal line
    level_label: str = ""
    from_zero: bool = False  # the y axis
    logarithmic: bool = False  # the x axis
    title: str = ""


def draw_panels(panels: Sequence[Panel], title: str) -> bytes:
    """Draw panels side by side into a PNG, each with its legend below it.

    Panels with the same y label share that axis.
    """
    lines = max(len(panel.series) + (panel.level is not None) for panel in panels)
    width, height = _PANEL
    figure = new_figure(width * len(panels), height + _LEGEND_LINE * lines + 0.4)
    figure.suptitle(title, fontsize=11, parse_math=False)
    shared = len({panel.y_label for panel in panels}) == 1
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=shared)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw(axes, panel)
    # Last, because Matplotlib does not adjust a limit that was set to data that is drawn later.
    for axes, panel in zip(all_axes, panels, strict=True):
        if panel.from_zero:
            axes.set_ylim(bottom=0)
    return encode_png(to_image(figure))


def new_figure(width: float, height: float, *, padding: float = 0.04) -> "Figure":
    """Make an empty figure on white; all in inches, with ``padding`` around each pair of axes."""
    # Matplotlib's log messages on stderr are only about caches and fonts.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=padding, h_pad=padding)
    return Figure((width, height), dpi=DOTS_PER_INCH, layout=layout, facecolor="white")


def to_image(figure: "Figure") -> Image.Image:
    """Draw a figure, in RGB."""
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png")
    return Image.open(encoded).convert("RGB")


def tidy(axes: "Axes") -> None:
    """Draw a light grid behind the data, and no frame at the top and right."""
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw(axes: "Axes", panel: Panel) -> None:
    for index, one in enumerate(panel.series):
        order = sorted(range(len(one.x)), key=lambda at: one.x[at])
        # From the ninth series on the colours repeat, with other markers and dashed lines.
        repeat, colour = divmod(index, len(COLOURS))
        axes.errorbar(
            [one.x[at] for at in order],
            [one.y[at] for at in order],
            yerr=[one.error[at] for at in order] if one.error else None,
            label=one.label,
            color=COLOURS[colour],
            marker=_MARKERS[(colour + 3 * repeat) % len(_MARKERS)] if len(order) <= _MOST_MARKED else "",
            markersize=5,
            linewidth=1.5,
            linestyle=("--" if repeat else "-") if one.joined and len(order) > 1 else "",
            elinewidth=1,
            capsize=3,
        )
    if panel.level is not None:
        axes.axhline(panel.level, color="#666666", linestyle="--", linewidth=1.2, label=panel.level_label)
    _set_x_axis(axes, panel)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.set_title(panel.title, fontsize=10, parse_math=False)
    axes.tick_params(labelleft=True)  # also where the axis is shared
    tidy(axes)
    handles, labels = axes.get_legend_handles_labels()
    if panel.level is not None:  # Matplotlib lists lines before error bars
        handles, labels = [*handles[1:], handles[0]], [*labels[1:], labels[0]]
    axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False, fontsize=9)


def _set_x_axis(axes: "Axes", panel: Panel) -> None:
    """Choose the scale and the ticks: integers for integers, at the points if these are few and far apart."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    places = sorted({place for one in panel.series for place in one.x})
    along = [math.log(place) for place in places] if panel.logarithmic else places
    if panel.logarithmic:
        axes.set_xscale("log")
    if not all(float(place).is_integer() for place in places):
        if panel.logarithmic:  # 0.2 instead of 2 x 10^-1
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        return
    least = _CLOSEST_TICKS * (along[-1] - along[0])
    if len(places) <= _MOST_TICKS and all(right - left >= least for left, right in pairwise(along)):
        axes.set_xticks(places, [f"{place:.0f}" for place in places])
        axes.minorticks_off()
    elif not panel.logarithmic:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
