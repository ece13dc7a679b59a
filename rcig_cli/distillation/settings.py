"""Settings that methods share; each method's own record (``methods/``) is composed from these.

The defaults are the paper's (S3) and those of its published runs.  This module doesn't import JAX.
"""

from dataclasses import dataclass
from typing import Any, Literal, Self

import pydantic

from rcig_cli.settings import Setting, record, setting, settings_of

Solver = Literal["adam", "cg"]
Schedule = Literal["constant", "cosine"]

METHOD = "Method"
POOL = "Model pool"
INNER = "Inner problem"
EXPERTS = "Experts"


@dataclass(frozen=True)
class Choice:
    """An entry of a registry of which users choose one: a method or a parametrization.

    Attributes
    ----------
    name
        The value of the option that chooses it.
    title
        Its full name, or what it is in a few words.
    reference
        The paper that describes it; None if there is none.
    settings
        The record of its settings.
    """

    name: str
    title: str
    reference: str | None
    settings: type[Any]

    @property
    def declared(self) -> dict[str, Setting]:
        """Its settings by name."""
        return settings_of(self.settings)

    @property
    def learning_rates(self) -> tuple[str, ...]:
        """Names of its learning rates: what a run that diverged may lower when it is resumed."""
        return tuple(name for name in self.declared if name.endswith("_lr"))


@record
class MethodSettings:
    """Settings that every method has."""

    flip: bool = setting(True, "Also train on mirrored images.", panel=METHOD)


@record
class FeatureSettings(MethodSettings):
    """Settings of coresets that compare features."""

    feature_steps: int = setting(
        1000,
        "Training steps, on batches of real images, of the network whose features are compared; with 0 its "
        "parameters are random.",
        panel=METHOD,
        ge=0,
    )
    feature_lr: float = setting(
        1e-3, "Learning rate for the network whose features are compared (Adam).", panel=METHOD, gt=0
    )


@record
class GradientSettings(MethodSettings):
    """Settings of every method that improves images step by step."""

    image_lr: float = setting(3e-3, "Learning rate for images.", panel=METHOD, gt=0)
    schedule: Schedule = setting(
        "constant",
        "Learning rates of images, labels and temperature during the run: constant, or falling along half a "
        "cosine to --final-rate.",
        panel=METHOD,
    )
    final_rate: float = setting(
        0.02,
        "With --schedule cosine: the learning rates at the end, as a fraction of those at the start.",
        panel=METHOD,
        ge=0,
        le=1,
    )
    average_decay: float = setting(
        0.99,
        "Decay of the exponential moving average of images and labels, which is the final set.",
        panel=METHOD,
        ge=0,
        lt=1,
    )
    models: int = setting(
        1,
        "Networks per outer step, from the pool if the method has one; their gradients are averaged. "
        "Default: one per device.",
        ge=1,
    )


@record
class LearnedLabelSettings(GradientSettings):
    """Settings of methods that learn labels too."""

    label_lr: float = setting(
        3e-3, "Learning rate for labels; 0 keeps them fixed. Default of kip: 0.", panel=METHOD, ge=0
    )


@record
class RidgeSettings(LearnedLabelSettings):
    """Settings of methods that solve for a network with L2 regularization.

    ``backward_subset`` counts mirrored images; ``l2_rate`` is multiplied by the number of distilled images,
    counted before mirroring: ``lam = l2_rate * |S|``.
    """

    l2_rate: float = setting(5e-4, "L2 regularization per distilled image.", panel=METHOD, gt=0)
    label_margin: bool = setting(
        True,
        "Add a loss term that keeps the largest entry of each label above the second largest.",
        panel=METHOD,
    )
    backward_subset: int | None = setting(
        None,
        "Back-propagate through N distilled images per step. Default: through all of them.",
        panel=METHOD,
        ge=1,
    )


@record
class ExpertSettings(GradientSettings):
    """Settings of methods that learn from experts: networks trained on the real images."""

    experts: int = setting(100, "Networks that are trained on the real images first.", panel=EXPERTS, ge=1)
    expert_epochs: int = setting(50, "Epochs for which each expert is trained.", panel=EXPERTS, ge=1)
    expert_lr: float = setting(0.01, "Learning rate of the experts' training (SGD).", panel=EXPERTS, gt=0)
    expert_augment: bool = setting(
        True, "Augment the real images in the experts' training by DSA's operations.", panel=EXPERTS
    )
    last_start: int = setting(
        2, "The last epoch of an expert whose parameters an outer step may start from.", panel=EXPERTS, ge=0
    )
    expert_span: int = setting(
        2, "Epochs of an expert's training that the student steps are to match.", panel=EXPERTS, ge=1
    )


@record
class TemperatureSettings:
    """Settings of the Platt loss, which scales predictions by a learned temperature tau."""

    temperature_lr: float = setting(
        3e-2,
        "Learning rate for the logarithm of the temperature that scales the predictions (AdaBelief).",
        panel=METHOD,
        gt=0,
    )


@record
class KernelSettings:
    """Settings of the closed form of the last kernel."""

    solve_precision: Literal["float32", "float64"] = setting(
        "float32", "Precision of the feature-kernel solve.", panel=INNER
    )


@record
class PoolSettings(RidgeSettings):
    """Settings of methods with a pool of partially trained models at which the network is linearized."""

    pool_size: int = setting(30, "Models in the pool.", panel=POOL, ge=1)
    pool_max_steps: int = setting(
        100, "Training steps after which a pool model is replaced.", panel=POOL, ge=1
    )
    pool_steps: int = setting(15, "Maximum pool-model training steps per outer step.", panel=POOL, ge=1)
    pool_lr: float = setting(5e-5, "Learning rate for pool models (Adam).", panel=POOL, gt=0)

    @pydantic.model_validator(mode="after")
    def _share_out_the_pool(self) -> Self:
        if self.pool_size % self.models:
            raise ValueError(
                f"pool_size {self.pool_size} can't be divided evenly among {self.models} models per step; "
                f"use a multiple of {self.models}"
            )
        return self


@record
class ImplicitSettings(PoolSettings):
    """Settings of methods with an inner problem: of its solve, and of the solve for ``v = H^-1 g``."""

    solver: Solver = setting(
        "cg", "Solver: cg (conjugate gradients) or adam (the paper's, 20 + 20 tuned steps).", panel=INNER
    )
    inner_steps: int = setting(20, "Iterations of the inner solve.", panel=INNER, ge=0)
    hessian_steps: int = setting(20, "Iterations of the Hessian-inverse solve.", panel=INNER, ge=0)
    inner_rate_start: float = setting(
        1e-5, "Initial learning rate of the inner Adam solve; it is tuned during the run.", panel=INNER, gt=0
    )
    hessian_rate_start: float = setting(
        5e-5,
        "Initial learning rate of the Hessian-inverse Adam solve; it is tuned during the run.",
        panel=INNER,
        gt=0,
    )
