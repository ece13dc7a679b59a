"""RFAD: random feature approximation distillation.

Kernel ridge regression on the features of several networks, which are initialized anew at every outer step
and never trained.  With one network's features h at random theta_0:

    theta_F = h_S^T (h_S h_S^T + lam I)^-1 y_S
    L_out   = mean cross-entropy( softmax(tau h_T theta_F), y_T ) - label margin
    dL_out/dpsi = direct, averaged over the networks
"""

from typing import TYPE_CHECKING

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import KernelSettings, RidgeSettings, TemperatureSettings
from rcig_cli.settings import record, setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class RfadSettings(KernelSettings, TemperatureSettings, RidgeSettings):
    """Settings of RFAD; the paper's eight networks per step."""

    models: int = setting(8, "Networks per outer step; their gradients are averaged.", ge=1)


def make(task: "Task", settings: RfadSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.bilevel.kernel_regression import make_kernel_regression_step
    from rcig_cli.distillation.bilevel.outer import platt
    from rcig_cli.distillation.pool import Pool

    # As many models as a step uses, each replaced after every use, without any training.
    fresh = Pool(size=settings.models, max_age=0, training_steps=0, lr=0.0)
    return make_kernel_regression_step(task, settings, platt, fresh)


RFAD = Method(
    name="rfad",
    title="random feature approximation distillation",
    reference="Loo, Hasani, Amini, Rus: Efficient Dataset Distillation Using Random Feature Approximation, "
    "NeurIPS 2022",
    settings=RfadSettings,
    metrics=(method.LOSS, method.ACCURACY, method.DIRECT_NORM, method.TEMPERATURE),
    make=make,
)
