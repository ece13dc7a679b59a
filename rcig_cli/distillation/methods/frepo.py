"""FRePo: neural feature regression with pooling.

Kernel ridge regression on the features of a pool model theta_0, whose body is not changed:

    theta_F = h_S^T (h_S h_S^T + lam I)^-1 y_S
    L_out   = mean (h_T theta_F - y_T)^2 / 2 - label margin
    dL_out/dpsi = direct
"""

from typing import TYPE_CHECKING

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import KernelSettings, PoolSettings
from rcig_cli.settings import record

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class FrepoSettings(KernelSettings, PoolSettings):
    """Settings of FRePo."""


def make(task: "Task", settings: FrepoSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.bilevel.kernel_regression import make_kernel_regression_step
    from rcig_cli.distillation.bilevel.outer import squared_error
    from rcig_cli.distillation.pool import Pool

    pool = Pool.of(settings)
    return make_kernel_regression_step(task, settings, squared_error, pool)


FREPO = Method(
    name="frepo",
    title="neural feature regression with pooling",
    reference="Zhou, Nezhadarya, Ba: Dataset Distillation using Neural Feature Regression, NeurIPS 2022",
    settings=FrepoSettings,
    metrics=(method.LOSS, method.ACCURACY, method.DIRECT_NORM),
    make=make,
    batch_norm=True,
)
