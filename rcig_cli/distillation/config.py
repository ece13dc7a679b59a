"""Every setting of the algorithm; the defaults are the paper's (S3) and the published runs'."""

from dataclasses import dataclass
from typing import Literal

from rcig_cli.distillation.family import FAMILY, Algorithm

Solver = Literal["adam", "cg"]
Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class AlgorithmConfig:
    """Settings of one distillation.

    Attributes
    ----------
    algorithm
        The member of the family.
    solver
        ``"adam"``: the paper's; ``"cg"``: conjugate gradients on the dual system, no learning rate.
    n_inner, n_hessian
        Iterations of the inner solve and of the solve for ``v = H^-1 g``.
    solve_precision
        Of A = h h^T + lam I and the solves with it; all else is float32.
    backward_subset
        Through how many images, mirror images included, gradients go at a time; None: through all.
    l2_rate
        Regularisation per distilled image; ``lam = l2_rate * |S|``.
    flip
        Distil each image together with its mirror image.
    label_margin
        Keep each learned label's top class ahead of the second.
    image_rate, label_rate, temperature_rate
        Learning rates of AdaBelief for the three leaves of psi.
    average_decay
        Decay of the exponential average of psi, the product.
    models
        Pool models that an outer step sees; the step is by the mean of their meta-gradients.
    pool_size, pool_max_steps, pool_rate, pool_steps
        Models at which we linearise: how many, after how many training steps one is replaced, Adam's
        learning rate for them, and the most steps one gets at a time.
    inner_rate_start, hessian_rate_start
        Where the tuning of the two Adam solves starts.
    """

    algorithm: Algorithm = "rcig"
    solver: Solver = "adam"
    n_inner: int = 20
    n_hessian: int = 20
    solve_precision: Precision = "float32"
    backward_subset: int | None = None
    l2_rate: float = 5e-4
    flip: bool = True
    label_margin: bool = True
    image_rate: float = 3e-3
    label_rate: float = 3e-3
    temperature_rate: float = 3e-2
    average_decay: float = 0.99
    models: int = 1
    pool_size: int = 30
    pool_max_steps: int = 100
    pool_rate: float = 5e-5
    pool_steps: int = 15
    inner_rate_start: float = 1e-5
    hessian_rate_start: float = 5e-5

    @property
    def has_rates(self) -> bool:
        """Whether there are solves with a learning rate."""
        return self.solver == "adam" and FAMILY[self.algorithm].solves
