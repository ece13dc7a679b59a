"""RCIG: reparameterized convexified implicit gradients.

The network is linearized at a pool model theta_0 and its last kernel theta_F has a closed form, which leaves
a quadratic in the other parameters theta_B (paper, 3.3 and Algorithm 1):

    theta_B = argmin s/2 ( tr(r^T A^-1 r) + |theta_B|^2 ),    r = y_S - J_S theta_B,    A = h_S h_S^T + lam I
    p       = J_T theta_B + h_T h_S^T A^-1 r
    L_out   = mean cross-entropy( softmax(tau p), y_T ) - label margin
    dL_out/dpsi = direct + implicit,    the implicit part no larger than the direct one
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import ImplicitSettings, KernelSettings, TemperatureSettings
from rcig_cli.settings import record

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task

_FEW_IMAGES = 10


@record
class RcigSettings(KernelSettings, TemperatureSettings, ImplicitSettings):
    """Settings of RCIG."""


def make(task: "Task", settings: RcigSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.bilevel.implicit import Bilevel, make_implicit_step
    from rcig_cli.distillation.bilevel.inner import LinearizedBody
    from rcig_cli.distillation.bilevel.outer import platt

    return make_implicit_step(Bilevel(task, settings, LinearizedBody, platt))


def defaults(images: int, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Iterations: conjugate gradients need fewer than the paper's Adam, and fewer for few images.

    ``docs/appendix/results-solvers.md`` has the measurements.
    """
    return method.iterations(given, cg=4 if images <= _FEW_IMAGES else 10)


RCIG = Method(
    name="rcig",
    title="reparameterized convexified implicit gradients",
    reference=method.RCIG_PAPER,
    settings=RcigSettings,
    metrics=(
        *(method.LOSS, method.ACCURACY, method.DIRECT_NORM, method.IMPLICIT_NORM),
        *(method.TEMPERATURE, *method.SOLVES),
    ),
    make=make,
    batch_norm=True,
    defaults=defaults,
)
