"""Plots with Matplotlib: panels of series with error bars, and functions that all plots share.

Figures are made without Matplotlib's global state, so that they don't depend on earlier plots.  Matplotlib
is imported when something is drawn, because importing it takes half a second.
"""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from PIL import Image

from rcig_cli.reporting.figures.canvas import encode_png, printable, silence_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable with colour blindness and dark enough on white (after Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a34f83", "#8a6d00", "#2f2f2f", "#3d9bd6", "#c08000")
GREY = "#4a4a4a"
_MARKERS = "osD^vPX*"
DOTS_PER_INCH = 220
_PANEL = 4.6, 3.6  # inches
_LEGEND_LINE = 0.22  # inches
_LETTERS, _TITLE_LETTERS = 12, 11  # of a legend and of a title in an inch
_TOP_MARGIN = 0.06  # of an axis from zero
_MOST_TICKS = 8  # at the places of points
_CLOSEST_TICKS = 0.06  # of the axis, between two of these; closer labels would overlap
_MOST_MARKED = 12  # points; a longer line has no markers
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Series:
    """Points joined by a line, in the order of x, with one colour and one entry of the legend."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()  # half the height of each error bar


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
    """Draw panels side by side into a PNG.

    Panels with the same y label share that axis.  Below them is one legend if all have the same series,
    otherwise each has its own.
    """
    width, height = _PANEL[0] * len(panels), _PANEL[1]
    same = len({tuple(one.label for one in panel.series) for panel in panels}) == 1
    labels = list(dict.fromkeys(label for panel in panels for label in _labels(panel)))
    per_line = int(width * _LETTERS) // (max(map(len, labels)) + 6) if same and len(panels) > 1 else 1
    columns = max(1, min(per_line, len(labels)))
    lines = -(-len(labels) // columns) if same else max(len(_labels(panel)) for panel in panels)
    figure = new_figure(width, height + _LEGEND_LINE * lines + 0.4)
    set_title(figure, title)
    shared = len({panel.y_label for panel in panels}) == 1
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=shared)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw(axes, panel)
    # Last, because Matplotlib does not adjust a limit that was set to data that is drawn later.
    top = max(float(axes.dataLim.y1) for axes in all_axes)
    for axes, panel in zip(all_axes, panels, strict=True):
        if panel.from_zero:
            axes.set_ylim(0, (1 + _TOP_MARGIN) * (top if shared else float(axes.dataLim.y1)) or 1)
    handles = [_handles(axes, panel) for axes, panel in zip(all_axes, panels, strict=True)]
    if same:
        joined = {label: handle for found in handles for label, handle in found.items()}
        style = {"loc": "outside lower center", "ncols": columns}
        _add_legend(figure, {label: joined[label] for label in labels}, **style)
    else:
        for axes, found in zip(all_axes, handles, strict=True):
            _add_legend(axes, found, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    return encode_png(to_image(figure))


def _labels(panel: Panel) -> list[str]:
    """The entries of a panel's legend."""
    level = [] if panel.level is None else [panel.level_label]
    return [*(one.label for one in panel.series), *level]


def _handles(axes: "Axes", panel: Panel) -> dict[str, Any]:
    """What a legend shows for each label."""
    level = [] if panel.level is None else [axes.lines[-1]]
    return dict(zip(_labels(panel), [*axes.containers, *level], strict=True))


def _add_legend(parent: "Axes | Figure", handles: Mapping[str, Any], **style: Any) -> None:
    labels = [printable(label) or "?" for label in handles]
    legend = parent.legend([*handles.values()], labels, frameon=False, fontsize=9, **style)
    for text in legend.get_texts():
        text.set_parse_math(False)


def new_figure(width: float, height: float, *, padding: float = 0.08) -> "Figure":
    """Make an empty figure on white; all in inches, with ``padding`` around each pair of axes."""
    silence_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=padding, h_pad=padding)
    return Figure((width, height), dpi=DOTS_PER_INCH, layout=layout, facecolor="white")


def set_title(figure: "Figure", title: str, details: str = "") -> None:
    """Write a title above all panels, and details below it, in lines that fit the width of the figure."""
    letters = int(figure.get_figwidth() * _TITLE_LETTERS)
    lines = [line for text in (title, details) for line in textwrap.wrap(printable(text), letters)]
    figure.suptitle("\n".join(lines), fontsize=11, parse_math=False)


def tick_text(value: float) -> str:
    """A number at an axis: ``"0.002"``, ``"2·10⁻⁵"``, ``"10⁶"``."""
    number, e, power = f"{value:g}".partition("e")
    exponent = str(int(power)).translate(_SUPERSCRIPT) if e else ""
    text = f"10{exponent}" if number == "1" and e else f"{number}·10{exponent}" if e else number
    return text.replace("-", "−")


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
        marked = len(order) <= _MOST_MARKED
        axes.errorbar(
            [one.x[at] for at in order],
            [one.y[at] for at in order],
            yerr=[one.error[at] for at in order] if one.error else None,
            color=COLOURS[colour],
            marker=_MARKERS[(colour + 3 * repeat) % len(_MARKERS)] if marked else "",
            markersize=5,
            clip_on=not marked,  # a marker at the edge of the axes is drawn whole
            zorder=3,  # and above the axes
            linewidth=1.5,
            linestyle=("--" if repeat else "-") if len(order) > 1 else "",
            elinewidth=1,
            capsize=3,
        )
    if panel.level is not None:
        axes.axhline(panel.level, color="#666666", linestyle="--", linewidth=1.2)
    _set_x_axis(axes, panel)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.set_title(printable(panel.title), fontsize=10, parse_math=False)
    axes.tick_params(labelleft=True)  # also where the axis is shared
    tidy(axes)


def _set_x_axis(axes: "Axes", panel: Panel) -> None:
    """Choose the scale and the ticks: integers for integers, at the points if these are few and far apart."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    places = sorted({place for one in panel.series for place in one.x})
    along = [math.log(place) for place in places] if panel.logarithmic else places
    if panel.logarithmic:
        axes.set_xscale("log")
    if not all(float(place).is_integer() for place in places):
        if panel.logarithmic:
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))
            axes.xaxis.set_minor_formatter(NullFormatter())
        return
    least = _CLOSEST_TICKS * (along[-1] - along[0])
    if len(places) <= _MOST_TICKS and all(right - left >= least for left, right in pairwise(along)):
        axes.set_xticks(places, [f"{place:.0f}" for place in places])
        axes.minorticks_off()
    elif not panel.logarithmic:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
