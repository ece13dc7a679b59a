"""RFAD: random feature approximation distillation.

Kernel ridge regression on the features of several networks together, which are initialized anew at every
outer step and never trained: their mean kernel is an estimate of the kernel of an infinitely wide network.

    h       = [h_1, ..., h_N] / sqrt(N)
    theta_F = h_S^T (h_S h_S^T + lam I)^-1 y_S
    L_out   = mean cross-entropy( softmax(tau h_T theta_F), y_T ) - label margin
    dL_out/dpsi = direct
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import METHOD, KernelSettings, RidgeSettings, TemperatureSettings
from rcig_cli.settings import record, setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class RfadSettings(KernelSettings, TemperatureSettings, RidgeSettings):
    """Settings of RFAD; the paper's eight networks."""

    feature_networks: int = setting(
        8,
        "Random networks whose features are used together, new ones in every outer step.",
        panel=METHOD,
        ge=1,
    )


def make(task: "Task", settings: RfadSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.bilevel.joined_networks import JoinedNetworks
    from rcig_cli.distillation.bilevel.kernel_regression import make_kernel_regression_step
    from rcig_cli.distillation.bilevel.outer import platt
    from rcig_cli.distillation.pool import Pool

    joined = JoinedNetworks.of([task.network] * settings.feature_networks)
    # As many models as a step uses, each replaced after every use, without any training.
    fresh = Pool(size=settings.models, max_age=0, training_steps=0, lr=0.0)
    return make_kernel_regression_step(replace(task, network=joined), settings, platt, fresh)


RFAD = Method(
    name="rfad",
    title="random feature approximation distillation",
    reference="Loo, Hasani, Amini, Rus: Efficient Dataset Distillation Using Random Feature Approximation, "
    "NeurIPS 2022",
    settings=RfadSettings,
    metrics=(method.LOSS, method.ACCURACY, method.DIRECT_NORM, method.TEMPERATURE),
    make=make,
    batch_norm=True,
)
