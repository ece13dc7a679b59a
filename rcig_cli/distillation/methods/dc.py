"""DC and DSA: gradient matching.

Each class of the distilled set gives a network the gradient that the real class gives it (the loss is
that of `matching.gradients`).  With DSA the images of a class, real and distilled, are changed alike before:

    L = sum over classes c of D( G(real images of c), G(distilled images of c) )

Labels are not learned.  The images move by gradient descent with momentum, and the last ones are the result.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rcig_cli.distillation.methods import method
from rcig_cli.distillation.methods.method import Method
from rcig_cli.distillation.settings import METHOD, POOL, GradientSettings
from rcig_cli.settings import record, setting

if TYPE_CHECKING:
    from rcig_cli.distillation.step import Step
    from rcig_cli.distillation.task import Task


@record
class DcSettings(GradientSettings):
    """Settings of DC."""

    image_lr: float = setting(0.1, "Learning rate for images (SGD).", panel=METHOD, gt=0)
    average_decay: float = method.no_average()
    siamese: bool = method.siamese(default=False)
    network_steps: int = setting(
        0, "Training steps of the network on the distilled set after each outer step.", panel=POOL, ge=0
    )
    network_lr: float = setting(0.01, "Learning rate of the network's training (SGD).", panel=POOL, gt=0)
    renew_every: int = setting(
        1,
        "Outer steps after which the network is replaced by a fresh one; without --network-steps it is "
        "replaced after every outer step.",
        panel=POOL,
        ge=1,
    )


@record
class DsaSettings(DcSettings):
    """Settings of DSA."""

    siamese: bool = method.siamese(default=True)


def make(task: "Task", settings: DcSettings) -> "Step":
    """Return the functions of a run."""
    from rcig_cli.distillation.matching.gradients import make_gradient_matching_step

    return make_gradient_matching_step(task, settings)


_COMMON = {"flip": False, "norm": "instance", "channels": "equal", "activation": "relu"}
_NETWORK_STEPS = {1: 0, 10: 50, 20: 25, 30: 20, 40: 15, 50: 10}  # by images per class
_PRESETS: Mapping[int, Mapping[str, Any]] = {
    ipc: {**_COMMON, "steps": 1000 * ipc, "network_steps": steps, "renew_every": ipc}
    for ipc, steps in _NETWORK_STEPS.items()
}

DC = Method(
    name="dc",
    title="gradient matching",
    reference="Zhao, Mopuri, Bilen: Dataset Condensation with Gradient Matching, ICLR 2021",
    settings=DcSettings,
    metrics=(method.LOSS, method.GRADIENT_NORM),
    make=make,
    presets=_PRESETS,
    real_per_class=256,
)

DSA = Method(
    name="dsa",
    title="gradient matching with siamese augmentation",
    reference="Zhao, Bilen: Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021",
    settings=DsaSettings,
    metrics=(method.LOSS, method.GRADIENT_NORM),
    make=make,
    presets=_PRESETS,
    real_per_class=256,
)
