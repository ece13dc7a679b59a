"""The step of methods that fit only the last kernel, in closed form: FRePo and RFAD.

    theta_F = h_S^T (h_S h_S^T + lam I)^-1 y_S,    gradient = dL_out/dpsi

Nothing else is solved for, so the gradient is the direct one alone.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.bilevel.formulations import FixedBody, Layout, Outputs
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient
from rcig_cli.distillation.bilevel.outer import Loss, evaluate_outer_loss
from rcig_cli.distillation.bilevel.subsampling import choose, subset_size, through_subset
from rcig_cli.distillation.network import Network
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree, training_set
from rcig_cli.distillation.step import Learner, Pool, Proposal, Step, make_step


def make_kernel_regression_step(
    network: Network,
    settings: Any,
    platform: Platform,
    loss: Loss,
    pool: Pool,
    *,
    temperature_lr: float | None = None,
) -> Step:
    """Build the `Step` of FRePo or RFAD.

    Parameters
    ----------
    network, settings, platform
        The network that is distilled with, the method's settings, and the `Platform`.
    loss
        The outer loss.
    pool
        How the models whose features are used are trained.
    temperature_lr
        Learning rate for the log temperature, if the loss has one.
    """

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        psi = learner.psi
        distilled, labels = training_set(psi.images, psi.labels, flip=settings.flip)
        subset = subset_size(settings.backward_subset, labels.shape[0])
        key_statistics, key_outputs = (None, None) if subset is None else jax.random.split(_needed(key))
        few = (
            distilled
            if subset is None
            else distilled[choose(_needed(key_statistics), len(distilled), subset)]
        )
        layout = Layout(platform, subset=subset, float64=settings.solve_precision == "float64")
        formulation = FixedBody(network.with_statistics_of(theta_0, few), theta_0, layout)
        problem = formulation.problem(distilled, labels, settings.l2_rate * psi.images.shape[0])
        outer = evaluate_outer_loss(
            formulation.predictor(problem), loss, psi.log_temperature, images, classes, platform
        )

        def outputs_through_subset(images: Array) -> Outputs:
            if subset is None:
                return formulation.outputs(images)
            return through_subset(formulation.outputs, images, _needed(key_outputs), subset, platform)

        direct, implicit = meta_gradient(
            psi,
            outer,
            outputs_through_subset,
            direct=partial(formulation.direct_gradient, problem, outer),
            implicit=lambda _: None,
            flip=settings.flip,
            margin=settings.label_margin,
        )
        metrics = {
            "loss": outer.value,
            "accuracy": outer.accuracy,
            "direct_norm": jnp.linalg.norm(direct.images),
        }
        return Proposal(combine(direct, implicit), metrics, {})

    return make_step(network, settings, propose, pool, temperature_lr=temperature_lr)


def _needed(key: Array | None) -> Array:
    if key is None:
        raise TypeError("a subset of the images is drawn with a key")
    return key
