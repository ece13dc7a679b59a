"""The step of methods that fit only the last kernel, in closed form: FRePo and RFAD.

    theta_F  = h_S^T (h_S h_S^T + lam I)^-1 y_S
    L_out    = mean loss( h_T theta_F, y_T ) - label margin
    gradient = dL_out/dpsi

The body stays at theta_0 and nothing else is solved for, so the gradient is the direct one alone.
"""

from collections.abc import Callable
from typing import Any

import jax
import optax
from jax import Array

from rcig_cli.distillation.bilevel.feature_kernel import feature_kernel
from rcig_cli.distillation.bilevel.inner import in_parts
from rcig_cli.distillation.bilevel.meta_gradient import combine, meta_gradient
from rcig_cli.distillation.bilevel.outer import Loss, evaluate_outer_loss
from rcig_cli.distillation.bilevel.subsampling import choose, subset_size, through_subset
from rcig_cli.distillation.pool import Pool
from rcig_cli.distillation.records import Tree, training_set
from rcig_cli.distillation.step import Learner, Proposal, Step, make_step
from rcig_cli.distillation.task import Task


def make_kernel_regression_step(task: Task, settings: Any, loss: Loss, pool: Pool) -> Step:
    """Build the `Step` of FRePo or RFAD.

    Parameters
    ----------
    task, settings
        The network that is distilled with and the `Platform`; the method's settings.
    loss
        The outer loss.
    pool
        How the models whose features are used are trained.
    """
    network, platform = task.network, task.platform

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        psi = learner.psi
        distilled, labels = training_set(task.decode(psi.stored), psi.labels, flip=settings.flip)
        subset, few = subset_size(settings.backward_subset, labels.shape[0]), distilled
        if subset is not None:
            assert key is not None
            key_statistics, key_outputs = jax.random.split(key)
            few = distilled[choose(key_statistics, len(distilled), subset)]
        at_theta_0 = network.with_statistics_of(theta_0, few)  # of batch norm

        def features(images: Array) -> Array:
            return at_theta_0.apply(theta_0, images)[1]

        def features_in_parts(images: Array) -> Array:
            h: Array = in_parts(features, images, platform)
            return h

        def features_through_subset(images: Array) -> Array:
            if subset is None:
                return features_in_parts(images)
            return through_subset(features_in_parts, images, key_outputs, subset, platform)

        def predict(images: Array) -> tuple[Array, Callable[[Array], Tree]]:
            h = features(images)
            return h @ theta_F, lambda dp: {"head": {"kernel": h.T @ dp}}

        def direct(h: Array, labels: Array) -> tuple[Array, Array]:
            gradient: tuple[Array, Array]
            gradient = jax.grad(A.through_last_kernel, (1, 2))(outer.head, h, labels)
            return gradient

        h = features_in_parts(distilled) if subset is None else platform.rows(features, distilled, subset)
        A = feature_kernel(
            h, settings.l2_rate * psi.labels.shape[0], float64=settings.solve_precision == "float64"
        )
        theta_F = A.features.T @ A.solve(labels)
        outer = evaluate_outer_loss(predict, loss, psi.log_temperature, images, classes, platform)
        direct_gradient, zero = meta_gradient(
            psi, task, settings, outer, features_through_subset, direct=direct, implicit=lambda *_: None
        )
        metrics = {
            "loss": outer.value,
            "accuracy": outer.accuracy,
            "direct_norm": optax.tree.norm(direct_gradient.stored),
        }
        return Proposal(combine(direct_gradient, zero, limit=True), metrics, {})

    return make_step(task, settings, propose, pool)
