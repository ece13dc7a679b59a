"""Curves with error bars, side by side: numbers -> PNG.

Drawn by Matplotlib without its global state, so that nothing depends on what was drawn before.  It is
imported when something is drawn: it takes half a second, and most commands draw nothing.
"""

import io
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from rcig_cli.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Told apart by the colour-blind, and dark enough on white (after Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a34f83", "#8a6d00", "#2f2f2f", "#3d9bd6", "#c08000")
_MARKERS = "osD^vPX*"
_DOTS_PER_INCH = 110
_PANEL = 4.6, 3.6  # inches
_LEGEND_LINE = 0.22  # inches
_MOST_TICKS = 8  # that are places of points
_CLOSEST_TICKS = 0.06  # of the axis, between two of these; closer ones would run together
_MOST_MARKED = 12  # points; a longer line is drawn without a sign at each


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Attributes
    ----------
    label
        What the legend calls them.
    x, y
        Their places.
    error
        Half the height of each one's error bar; empty for none.
    joined
        Whether a line joins them, in the order of x.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    joined: bool = True


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes
    ----------
    x_label, y_label
        What is on them.
    series
        What is drawn, in the order of the legend.
    level
        The height of a dashed line across, or None.
    level_label
        What the legend calls that line.
    from_zero
        Whether the heights begin at 0.
    logarithmic
        Whether places are drawn by their logarithms.
    """

    x_label: str
    y_label: str
    series: Sequence[Series]
    level: float | None = None
    level_label: str = ""
    from_zero: bool = False
    logarithmic: bool = False


def draw_panels(panels: Sequence[Panel], title: str) -> bytes:
    """Draw panels side by side under a title, each with its legend below; the heights are the same in all.

    Parameters
    ----------
    panels
        One or more, each with one series or more.
    title
        Stands above them all.

    Returns
    -------
    bytes
        A PNG on white.

    Raises
    ------
    ConfigError
        If there is nothing to draw, or a series has places without heights.
    """
    if not panels or not all(panel.series for panel in panels):
        raise ConfigError("There is nothing to draw: no panel, or one without a series.")
    for one in (each for panel in panels for each in panel.series):
        if not one.x or len(one.x) != len(one.y) or len(one.error) not in (0, len(one.x)):
            raise ConfigError(f"{one.label} has {len(one.x)} places, {len(one.y)} heights "
                              f"and {len(one.error)} error bars.")  # fmt: skip
    lines = max(len(panel.series) + (panel.level is not None) for panel in panels)
    width, height = _PANEL
    height += _LEGEND_LINE * lines + 0.4
    figure = start_figure(width * len(panels), height)
    figure.suptitle(title, fontsize=11)
    every = figure.subplots(1, len(panels), squeeze=False, sharey=_are_alike(panels))[0]
    for axes, panel in zip(every, panels, strict=True):
        _draw(axes, panel)
    # Once all is drawn: a limit that is set no longer follows what another panel adds.
    for axes, panel in zip(every, panels, strict=True):
        if panel.from_zero:
            axes.set_ylim(bottom=0)
    return to_png(figure)


def start_figure(width: float, height: float, *, padding: float | None = None) -> "Figure":
    """Begin a figure on white, of a size in inches, with so many inches around each axes (None: as usual)."""
    # What it has to say on stderr is of caches and fonts, and nobody's concern here.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=padding, h_pad=padding)
    return Figure((width, height), dpi=_DOTS_PER_INCH, layout=layout, facecolor="white")


def to_png(figure: "Figure") -> bytes:
    """Encode a figure; the same figure gives the same bytes."""
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png", metadata={"Software": None})
    return encoded.getvalue()


def _are_alike(panels: Sequence[Panel]) -> bool:
    return len({panel.y_label for panel in panels}) == 1


def _apart(places: Sequence[float]) -> bool:
    least = _CLOSEST_TICKS * (places[-1] - places[0])
    return all(right - left >= least for left, right in pairwise(places))


def _draw(axes: "Axes", panel: Panel) -> None:
    for index, one in enumerate(panel.series):
        order = sorted(range(len(one.x)), key=lambda at: one.x[at])
        # From the ninth on the colours come again, with other markers.
        again, colour = divmod(index, len(_COLOURS))
        axes.errorbar(
            [one.x[at] for at in order],
            [one.y[at] for at in order],
            yerr=[one.error[at] for at in order] if one.error else None,
            label=one.label,
            color=_COLOURS[colour],
            marker=_MARKERS[(colour + 3 * again) % len(_MARKERS)] if len(order) <= _MOST_MARKED else "",
            markersize=5,
            linewidth=1.5,
            linestyle=("--" if again else "-") if one.joined and len(order) > 1 else "",
            elinewidth=1,
            capsize=3,
        )
    if panel.level is not None:
        axes.axhline(panel.level, color="#666666", linestyle="--", linewidth=1.2, label=panel.level_label)
    places = sorted({place for one in panel.series for place in one.x})
    drawn_at = [math.log(place) for place in places] if panel.logarithmic else places
    if panel.logarithmic:
        axes.set_xscale("log")
    if len(places) <= _MOST_TICKS and all(float(place).is_integer() for place in places) and _apart(drawn_at):
        axes.set_xticks(places, [f"{place:.0f}" for place in places])
        axes.minorticks_off()
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.tick_params(labelleft=True)  # also where the heights are shared
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    drawn, labels = axes.get_legend_handles_labels()
    if panel.level is not None:  # which Matplotlib puts first
        drawn, labels = [*drawn[1:], drawn[0]], [*labels[1:], labels[0]]
    axes.legend(drawn, labels, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False, fontsize=9)
