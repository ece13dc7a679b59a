"""VIG: vanilla implicit gradients.

The original network, nonlinear in its parameters, is trained from a pool model theta_0 (paper, 3.1):

    theta = argmin ( |y_S - f(theta_0 + theta)|^2 + lam |theta|^2 ) / (2 n C), by Adam
    L_out = mean (f_T(theta_0 + theta) - y_T)^2 / 2 - label margin
    dL_out/dpsi = implicit
"""

from typing import TYPE_CHECKING, Literal

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import INNER, ImplicitSettings
from rcig_cli.settings import record, setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class VigSettings(ImplicitSettings):
    """Settings of VIG; its inner problem is not a quadratic, so its solver is Adam."""

    solver: Literal["adam"] = setting("adam", "Solver.", panel=INNER)


def make(task: "Task", settings: VigSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.bilevel.implicit import Bilevel, make_implicit_step
    from rcig_cli.distillation.bilevel.inner import OriginalNetwork
    from rcig_cli.distillation.bilevel.outer import squared_error

    return make_implicit_step(Bilevel(task, settings, OriginalNetwork, squared_error))


VIG = Method(
    name="vig",
    title="vanilla implicit gradients",
    reference=method.RCIG_PAPER,
    settings=VigSettings,
    metrics=(method.LOSS, method.ACCURACY, method.IMPLICIT_NORM, *method.SOLVES),
    make=make,
    batch_norm=True,
)
