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
from rcig_cli.settings import record

if TYPE_CHECKING:
    from rcig_cli.distillation.network import Network
    from rcig_cli.distillation.platform import Platform
    from rcig_cli.distillation.step import Step


@record
class CigSettings(ImplicitSettings):
    """Settings of CIG."""


def make(network: "Network", settings: CigSettings, platform: "Platform") -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.bilevel.formulations import LinearizedNetwork
    from rcig_cli.distillation.bilevel.implicit import BilevelSpec, make_implicit_step
    from rcig_cli.distillation.bilevel.outer import squared_error

    spec = BilevelSpec(network, settings, platform, LinearizedNetwork, squared_error)
    return make_implicit_step(spec, limit=False)


def defaults(images: int, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Iterations: few leave much unsolved without the closed form (``docs/appendix/results-accuracy.md``)."""
    del images
    iterations = 30 if given.get("solver", "cg") == "cg" else 20
    return {"inner_steps": iterations, "hessian_steps": iterations}


CIG = Method(
    name="cig",
    title="convexified implicit gradients",
    reference=method.RCIG_PAPER,
    settings=CigSettings,
    metrics=(method.LOSS, method.ACCURACY, method.IMPLICIT_NORM, *method.SOLVES),
    make=make,
    defaults=defaults,
)
