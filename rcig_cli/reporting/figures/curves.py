"""The metrics of a run against its outer steps.

Each value is drawn as a light line, with a running median over 1/25 of the run as a dark one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.plots import COLOURS, new_figure, tidy, to_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

_WIDTH, _ROW, _PADDING = 9.0, 3.2, 0.12  # inches
_STRETCHES = 25
_POINTS = 400  # of a median's line
_FEWEST = 40  # steps that are smoothed
_LOGARITHMIC_FROM = 10.0  # ratio of the largest to the smallest value


@dataclass(frozen=True)
class Curves:
    """One pair of axes.

    Attributes
    ----------
    title
        What is drawn, with its unit.
    names
        The metrics, with the legend's label of each; an empty label for none.
    logarithmic
        Whether the y axis is logarithmic.
    factor
        By which the values are multiplied, such as 100 for a fraction in percent.
    """

    title: str
    names: Mapping[str, str]
    logarithmic: bool = False
    factor: float = 1.0


def columns_of(records: Sequence[Mapping[str, float | None]]) -> dict[str, Floats]:
    """Turn records, one for each step, into columns; a value that is missing or None becomes NaN."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: np.array([record.get(name) for record in records], np.float64) for name in names}


def draw_curves(metrics: Mapping[str, Floats], panels: Sequence[Curves], title: str) -> Image.Image:
    """Draw metrics against outer steps, two panels to a row.

    Parameters
    ----------
    metrics
        By name, one value for each step (NaN where it was not finite), and ``step`` itself.
    panels
        What to draw; metrics that are missing are left out.
    title
        Above all panels.

    Returns
    -------
    PIL.Image.Image
        In RGB, on white.

    Raises
    ------
    ConfigError
        If there is nothing to draw.
    """
    panels = [panel for panel in panels if any(name in metrics for name in panel.names)]
    if not panels or not len(metrics.get("step", ())):
        raise ConfigError("There is nothing to draw: the run has no metrics.")
    rows = -(-len(panels) // 2)
    figure = new_figure(_WIDTH, _ROW * rows + 0.4, padding=_PADDING)
    figure.suptitle(title, fontsize=12, parse_math=False)
    grid = figure.add_gridspec(rows, 2)
    for index, panel in enumerate(panels):
        alone = index == len(panels) - 1 and index % 2 == 0
        place = grid[index // 2, :] if alone else grid[index // 2, index % 2]
        _draw(figure.add_subplot(place), panel, metrics)
    return to_image(figure)


def default_panels(metrics: Mapping[str, Floats]) -> list[Curves]:
    """Choose panels for metrics of which only the names are known.

    Metrics whose names end in the same word share a panel, ``direct_norm`` and ``implicit_norm`` for example.
    Positive values that range over more than a factor of ten are drawn on a logarithmic axis.  Metrics that
    have no finite value, or the same one at several steps, are left out.
    """
    finite = {name: values[np.isfinite(values)] for name, values in metrics.items() if name != "step"}
    drawn = [name for name, values in finite.items() if len(values) == 1 or len(np.unique(values)) > 1]
    return list(_grouped(drawn, metrics))


def _grouped(names: Sequence[str], metrics: Mapping[str, Floats]) -> Iterator[Curves]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rsplit("_", 1)[-1], []).append(name)
    for last, members in groups.items():
        values = np.concatenate([metrics[name] for name in members])
        values = values[np.isfinite(values)]
        logarithmic = values.min() > 0 and values.max() / values.min() > _LOGARITHMIC_FROM
        if last == "accuracy":
            yield Curves("accuracy on the real batch (%)", {name: "" for name in members}, factor=100)
        elif len(members) == 1:
            yield Curves(members[0].replace("_", " "), {members[0]: ""}, logarithmic)
        else:
            labels = {name: name.removesuffix(f"_{last}").replace("_", " ") for name in members}
            yield Curves(last, labels, logarithmic)


def running_median(values: Floats, width: int, places: npt.NDArray[np.int64]) -> Floats:
    """Median of the ``width`` values around each place, fewer at the ends; NaN and infinities are ignored."""
    half = width // 2
    padded = np.pad(values, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)[places]
    finite = (window[np.isfinite(window)] for window in windows)
    return np.array([np.median(window) if len(window) else np.nan for window in finite])


def _draw(axes: "Axes", panel: Curves, metrics: Mapping[str, Floats]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    steps = metrics["step"]
    present = [(name, label) for name, label in panel.names.items() if name in metrics]
    for index, (name, label) in enumerate(present):
        values, colour = panel.factor * metrics[name], COLOURS[index % len(COLOURS)]
        if panel.logarithmic:
            values = np.where(values > 0, values, np.nan)
        if len(values) < _FEWEST:
            axes.plot(steps, values, color=colour, linewidth=1.6, label=label)
            continue
        axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.3)
        places = np.unique(np.linspace(0, len(values) - 1, _POINTS).round().astype(np.int64))
        median = running_median(values, max(3, len(values) // _STRETCHES), places)
        axes.plot(steps[places], median, color=colour, linewidth=1.8, label=label)
    if panel.logarithmic:  # 0.02 instead of 2 x 10^-2, and few numbers between the powers of ten
        axes.set_yscale("log")
        low, high = np.log10(axes.get_ylim())
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high - low < 3 else (1.0,)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(panel.title, fontsize=11, loc="left")
    axes.set_xlabel("outer steps")
    axes.margins(x=0.01)
    tidy(axes)
    if any(label for _, label in present):
        axes.legend(frameon=False, fontsize=10)
