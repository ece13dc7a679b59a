"""KIP: kernel inducing points.

Kernel ridge regression with the neural tangent kernel of infinitely wide fully connected networks:

    p(X) = Theta(X, X_S) (Theta_SS + lam I)^-1 y_S
    L    = mean over real images of | p(x) - y |^2 / 2

Images move by Adam.  Labels are fixed by default, as in the authors' program: networks learn worse from sets
whose labels were learned (docs/results.md).  The kernel of convolutional networks, with which the paper
reaches its best accuracies, needs thousands of GPU hours, and is not here.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import METHOD, LearnedLabelSettings
from rcig_cli.settings import record, setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class KipSettings(LearnedLabelSettings):
    """Settings of KIP."""

    image_lr: float = setting(0.04, "Learning rate for images (Adam).", panel=METHOD, gt=0)
    label_lr: float = setting(
        0.0, "Learning rate for labels (Adam); with 0 they are fixed.", panel=METHOD, ge=0
    )
    average_decay: float = method.no_average()
    hidden_layers: int = setting(
        1, "Hidden layers of the infinitely wide network whose kernel is used.", panel=METHOD, ge=1
    )
    regularization: float = setting(
        1e-6, "L2 regularization, as a fraction of the kernel's mean diagonal element.", panel=METHOD, gt=0
    )


def make(task: "Task", settings: KipSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.infinite_width import make_kernel_inducing_points_step

    return make_kernel_inducing_points_step(task, settings)


_PRESETS: Mapping[int, Mapping[str, Any]] = {1: {"steps": 1000, "batch": 5000, "flip": False}}

KIP = Method(
    name="kip",
    title="kernel inducing points",
    reference="Nguyen, Chen, Lee: Dataset Meta-Learning from Kernel Ridge-Regression, ICLR 2021",
    settings=KipSettings,
    metrics=(method.LOSS, method.ACCURACY, method.GRADIENT_NORM),
    make=make,
    batch_norm=True,
    presets=_PRESETS,
)
