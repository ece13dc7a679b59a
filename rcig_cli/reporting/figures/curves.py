"""What a run said of itself at each outer step: loss, accuracy, gradients, learning rates.

Each number is drawn as it is, lightly, and over it the running median of a twenty-fifth of the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import ConfigError
from rcig_cli.reporting.figures.plots import start_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

# Told apart by the colour-blind (after Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00")
_WIDTH, _ROW, _PAD = 9.0, 3.2, 0.12  # inches
_STRETCHES = 25
_POINTS = 400  # of a median's line
_FEWEST = 40  # steps that are smoothed
_RAW = 4000  # points of a light line: more are thinned, each stretch to its extremes


@dataclass(frozen=True)
class Curves:
    """One pair of axes.

    Attributes
    ----------
    title
        What is on it.
    names
        Of the metrics, with what the legend calls each; empty where the title says it.
    logarithmic
        Whether the heights are.
    factor
        By which the numbers are multiplied.
    """

    title: str
    names: Mapping[str, str]
    logarithmic: bool = False
    factor: float = 1.0


LOSS = Curves("loss", {"loss": ""})
ACCURACY = Curves("accuracy on the real batch (%)", {"accuracy": ""}, factor=100)
NORMS = Curves(
    "norm of the gradient's two parts",
    {"direct_norm": "direct", "implicit_norm": "implicit"},
    logarithmic=True,
)
RATES = Curves(
    "learning rates of the two solves",
    {"inner_rate": "inner", "hessian_rate": "Hessian-inverse"},
    logarithmic=True,
)


def draw_curves(metrics: Mapping[str, Sequence[float | None]], panels: Sequence[Curves], title: str) -> bytes:
    """Draw metrics against outer steps, two panels to a line.

    Parameters
    ----------
    metrics
        By name, one number for each step (None: it was not finite), and ``step`` itself.
    panels
        What is drawn; metrics that aren't there are left out.
    title
        Stands above them all.

    Returns
    -------
    bytes
        A PNG on white.

    Raises
    ------
    ConfigError
        If there is nothing to draw.
    """
    steps = np.asarray(metrics.get("step", ()), np.float64)
    known = [panel for panel in panels if any(name in metrics for name in panel.names)]
    if not known or not len(steps):
        raise ConfigError("There is nothing to draw: the run's metrics are empty.")
    lines = -(-len(known) // 2)
    figure = start_figure(_WIDTH, _ROW * lines + 0.4, padding=_PAD)
    figure.suptitle(title, fontsize=12, parse_math=False)
    grid = figure.add_gridspec(lines, 2)
    for index, panel in enumerate(known):
        alone = index == len(known) - 1 and index % 2 == 0
        place = grid[index // 2, :] if alone else grid[index // 2, index % 2]
        _draw(figure.add_subplot(place), panel, steps, metrics)
    return to_png(figure)


def running_median(values: Floats, width: int, places: npt.NDArray[np.int64]) -> Floats:
    """Give the median of the ``width`` values around each place, fewer at the ends; NaN counts as absent."""
    half = width // 2
    around = (values[max(0, place - half) : place + half + 1] for place in places)
    found = (window[np.isfinite(window)] for window in around)
    return np.array([np.median(window) if len(window) else np.nan for window in found])


def thinned(steps: Floats, values: Floats, most: int = _RAW) -> tuple[Floats, Floats]:
    """Keep the lowest and the highest value of each stretch, where there are more than ``most`` of them."""
    if len(values) <= most:
        return steps, values
    kept = set()
    for stretch in np.array_split(np.arange(len(values)), most // 2):
        inside = stretch[np.isfinite(values[stretch])]
        if len(inside):
            kept |= {int(inside[np.argmin(values[inside])]), int(inside[np.argmax(values[inside])])}
    chosen = sorted(kept)
    return steps[chosen], values[chosen]


def _draw(axes: "Axes", panel: Curves, steps: Floats, metrics: Mapping[str, Sequence[Any]]) -> None:
    present = [(name, label) for name, label in panel.names.items() if name in metrics]
    for (name, label), colour in zip(present, _COLOURS, strict=False):
        values = panel.factor * np.array(metrics[name], np.float64)  # None becomes NaN
        if panel.logarithmic:
            values[values <= 0] = np.nan
        smooth = len(values) >= _FEWEST
        raw = {"linewidth": 0.7, "alpha": 0.3} if smooth else {"linewidth": 1.6, "label": label or None}
        axes.plot(*thinned(steps, values), color=colour, **raw)
        if smooth:
            places = np.unique(np.linspace(0, len(values) - 1, _POINTS).round().astype(np.int64))
            median = running_median(values, max(3, len(values) // _STRETCHES), places)
            axes.plot(steps[places], median, color=colour, linewidth=1.8, label=label or None)
    if panel.logarithmic:
        axes.set_yscale("log")
        _spell_out(axes)
    axes.set_title(panel.title, fontsize=11, loc="left")
    axes.set_xlabel("outer steps")
    axes.grid(color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.01)
    if any(label for _, label in present):
        axes.legend(frameon=False, fontsize=10)


def _spell_out(axes: "Axes") -> None:
    """Write 0.02 for 2 x 10^-2, and few of the numbers between the powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = np.log10(axes.get_ylim())
    subs = (1.0, 2.0, 5.0) if high - low < 3 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
