"""The record that describes a method.

Run loop, checkpoints, metrics, curves, command-line options, presets and the command reference use this
record and no method's name.  A method's module doesn't import JAX, so that ``rcig distill --help`` is fast;
it imports its mathematics inside ``make``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rcig_cli.distillation.settings import METHOD, Choice, MethodSettings
from rcig_cli.settings import setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@dataclass(frozen=True)
class Metric:
    """A number that each outer step reports.

    Attributes
    ----------
    name
        Its key in ``metrics.jsonl``.
    label
        Its label in plots, with its unit.
    panel
        The title of the plot that shows it; metrics with the same panel share one.
    log
        Whether that plot has a logarithmic axis.
    percent
        Whether it is a fraction that the plot shows in percent.
    """

    name: str
    label: str
    panel: str
    log: bool = False
    percent: bool = False


def takes_no_steps(task: "Task", settings: Any) -> "Step":
    """Stand for ``make`` in the record of a method with ``pick``."""
    raise AssertionError(task, settings)


@dataclass(frozen=True)
class Method(Choice):
    """A method of data set distillation, the value of ``--algorithm``.

    Attributes
    ----------
    settings
        A record of `MethodSettings`.
    metrics
        The metrics that each of its outer steps reports.
    make
        ``(task, settings) -> Step``: the functions that a run consists of; not called for a method with
        ``pick``.
    pick
        ``(rows [m, d], count, random) -> [count]``: choose some of a class's real images by their features,
        ``d = 0`` of them if ``settings`` are not `FeatureSettings`; the run takes no outer steps.
        None for a method with ``make``.
    defaults
        ``(images, given) -> settings``: defaults that depend on the number of distilled images (mirrored ones
        not counted) and on the settings given, by name.
    presets
        The settings of its paper by images per class, by name; empty for a method that takes those of RCIG's
        paper, which depend on the data set.
    real_per_class
        Real images of each class in an outer step, by default, for a method that takes as many of each; 0 for
        one whose real images are random.
    batch_norm
        Whether the network may have batch norm while distilling.  ``make`` must then take the statistics from
        the distilled images (`rcig_cli.networks.network.Network.with_statistics_of`).  A method with ``pick``
        always allows it.
    """

    settings: type[MethodSettings]
    metrics: tuple[Metric, ...]
    make: Callable[["Task", Any], "Step"] = takes_no_steps
    pick: Callable[[Any, int, Any], Any] | None = None
    defaults: Callable[[int, Mapping[str, Any]], Mapping[str, Any]] = lambda _images, _given: {}
    presets: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    real_per_class: int = 0
    batch_norm: bool = False


def iterations(given: Mapping[str, Any], *, cg: int) -> Mapping[str, Any]:
    """Default iterations of both solves: ``cg`` of conjugate gradients, or the paper's 20 of Adam."""
    steps = cg if given.get("solver", "cg") == "cg" else 20
    return {"inner_steps": steps, "hessian_steps": steps}


def no_average() -> Any:
    """The setting ``average_decay`` of methods whose last images are the result."""
    return setting(0.0, "Decay of the moving average.", panel=METHOD, ge=0, lt=1)


def siamese(*, default: bool) -> Any:
    """The setting ``siamese`` of methods that compare real and distilled images."""
    return setting(
        default,
        "Apply one random operation (DSA) to all real and distilled images of a class before they are "
        "compared.",
        panel=METHOD,
    )


RCIG_PAPER = "Loo, Hasani, Lechner, Rus: Dataset Distillation with Convexified Implicit Gradients, ICML 2023"

LOSS = Metric("loss", "outer loss", "Loss")
ACCURACY = Metric("accuracy", "accuracy on the real batch (%)", "Accuracy", percent=True)
DIRECT_NORM = Metric("direct_norm", "direct", "Gradient norm (images)", log=True)
IMPLICIT_NORM = Metric("implicit_norm", "implicit", "Gradient norm (images)", log=True)
GRADIENT_NORM = Metric("gradient_norm", "gradient", "Gradient norm (images)", log=True)
INNER_RATE = Metric("inner_rate", "inner solve", "Learning rate (Adam)", log=True)
HESSIAN_RATE = Metric("hessian_rate", "Hessian-inverse solve", "Learning rate (Adam)", log=True)
# Of the residual, or of the loss for Adam.
_REMAINING = "Error left by the solves (fraction of the initial error)"
INNER_PROGRESS = Metric("inner_progress", "inner solve", _REMAINING, log=True)
HESSIAN_PROGRESS = Metric("hessian_progress", "Hessian-inverse solve", _REMAINING, log=True)
TEMPERATURE = Metric("temperature", "temperature tau", "Temperature")

# Of methods with an inner problem to solve.
SOLVES = (INNER_PROGRESS, HESSIAN_PROGRESS, INNER_RATE, HESSIAN_RATE)
