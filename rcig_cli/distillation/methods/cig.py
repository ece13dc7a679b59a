"""CIG: convexified implicit gradients.

The network is linearized at a pool model theta_0, and all its parameters are solved for (paper, 3.2):

    theta = argmin ( |y_S - J_S theta|^2 + lam |theta|^2 ) / (2 n C)
    L_out = mean (J_T theta - y_T)^2 / 2 - label margin
    dL_out/dpsi = implicit
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import ImplicitSettings

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


def make(task: "Task", settings: ImplicitSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.bilevel.implicit import Bilevel, make_implicit_step
    from rcig_cli.distillation.bilevel.inner import LinearizedNetwork
    from rcig_cli.distillation.bilevel.outer import squared_error

    return make_implicit_step(Bilevel(task, settings, LinearizedNetwork, squared_error))


def defaults(images: int, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Iterations: without a closed form a few are not enough (``docs/appendix/results-accuracy.md``)."""
    del images
    return method.iterations(given, cg=30)


CIG = Method(
    name="cig",
    title="convexified implicit gradients",
    reference=method.RCIG_PAPER,
    settings=ImplicitSettings,
    metrics=(method.LOSS, method.ACCURACY, method.IMPLICIT_NORM, *method.SOLVES),
    make=make,
    batch_norm=True,
    defaults=defaults,
)
