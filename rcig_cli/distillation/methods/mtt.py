"""MTT: matching of training trajectories.

A network that starts from an expert's parameters and is trained on the distilled set for N steps of size
alpha should reach the parameters that the expert has some epochs later (`matching.trajectories`):

    L = |theta_N - theta*|^2 / |theta_0 - theta*|^2

Images and alpha are learned, labels are not.  The experts are networks trained on the real images; they are
trained before the first step and kept with the data set, so that other runs use them again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import pydantic

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method, Metric
from rcig_cli.distillation.settings import METHOD, ExpertSettings
from rcig_cli.settings import record, setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class MttSettings(ExpertSettings):
    """Settings of MTT."""

    image_lr: float = setting(100.0, "Learning rate for images (SGD).", panel=METHOD, gt=0)
    average_decay: float = method.no_average()
    augment_student: bool = setting(
        True, "Augment the distilled images in the student steps by DSA's operations.", panel=METHOD
    )
    student_steps: int = setting(
        50,
        "Student steps (N): training steps on the distilled set, through which gradients pass.",
        panel=METHOD,
        ge=1,
    )
    student_batch: int | None = setting(
        None, "Distilled images in each student step. Default: all.", panel=METHOD, ge=1
    )
    step_size: float = setting(
        0.01, "Learning rate of the student steps (alpha) at the start.", panel=METHOD, gt=0
    )
    step_size_lr: float = setting(1e-7, "Learning rate for alpha (SGD).", panel=METHOD, gt=0)

    @pydantic.model_validator(mode="after")
    def _check_epochs(self) -> Self:
        if self.last_start + self.expert_span > self.expert_epochs:
            raise ValueError(
                f"last_start {self.last_start} and expert_span {self.expert_span} add up to more than "
                f"expert_epochs {self.expert_epochs}"
            )
        return self


def make(task: "Task", settings: MttSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.matching.trajectories import make_trajectory_matching_step

    return make_trajectory_matching_step(task, settings)


# For CIFAR-10; other data sets have other best settings.
_COMMON = {
    "steps": 5000,
    "flip": False,
    "norm": "instance",
    "channels": "equal",
    "activation": "relu",
    "batch": 256,
}
_PRESETS: Mapping[int, Mapping[str, Any]] = {
    1: {**_COMMON, "student_steps": 50, "last_start": 1, "image_lr": 100.0, "step_size_lr": 1e-7},
    10: {**_COMMON, "student_steps": 30, "last_start": 19, "image_lr": 1e5, "step_size_lr": 1e-6},
    50: {
        **_COMMON,
        **{"student_steps": 30, "last_start": 39, "image_lr": 1e3, "step_size_lr": 1e-5},
        "step_size": 0.001,
    },
}

MTT = Method(
    name="mtt",
    title="matching of training trajectories",
    reference="Cazenavette, Wang, Torralba, Efros, Zhu: Dataset Distillation by Matching Training "
    "Trajectories, CVPR 2022",
    settings=MttSettings,
    metrics=(
        method.LOSS,
        method.GRADIENT_NORM,
        Metric("step_size", "step size alpha", "Step size"),
    ),
    make=make,
    presets=_PRESETS,
)
