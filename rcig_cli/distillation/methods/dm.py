"""DM: distribution matching.

Each class of the distilled set gets the mean features of the real class, under networks with random
parameters:

    L = sum over classes c of | mean of h(real images of c) - mean of h(distilled images of c) |^2

Labels are not learned.  The images move by gradient descent with momentum, and the last ones are the result.
"""

from typing import TYPE_CHECKING

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import METHOD, GradientSettings
from rcig_cli.settings import record, setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class DmSettings(GradientSettings):
    """Settings of DM."""

    image_lr: float = setting(1.0, "Learning rate for images (SGD).", panel=METHOD, gt=0)
    average_decay: float = method.no_average()
    siamese: bool = method.siamese(default=True)


def make(task: "Task", settings: DmSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.matching.features import make_feature_matching_step

    return make_feature_matching_step(task, settings)


_PRESET = {"steps": 20_000, "flip": False, "norm": "instance", "channels": "equal", "activation": "relu"}

DM = Method(
    name="dm",
    title="distribution matching",
    reference="Zhao, Bilen: Dataset Condensation with Distribution Matching, WACV 2023",
    settings=DmSettings,
    metrics=(method.LOSS, method.GRADIENT_NORM),
    make=make,
    presets={1: _PRESET},
    real_per_class=256,
)
