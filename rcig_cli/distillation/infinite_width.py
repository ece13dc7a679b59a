"""Kernel inducing points: ridge regression with the neural tangent kernel (NTK) of infinitely wide networks.

The networks are fully connected with ReLU.  Of images x, x' with d numbers each, weights of variance 2 and
biases of variance 0.01, before the first layer, and after each of the hidden ones:

    Sigma <- 2 x.x' / d + 0.01                                       Theta <- Sigma
    Sigma <- sqrt(Sigma(x, x) Sigma(x', x')) kappa_1(u) + 0.01       Theta <- Sigma + Theta kappa_0(u)

    u         = Sigma(x, x') / sqrt(Sigma(x, x) Sigma(x', x'))
    kappa_0   = 1 - arccos(u) / pi,     kappa_1 = u kappa_0 + sqrt(1 - u^2) / pi

Theta is the NTK (Jacot, Gabriel, Hongler 2018; the arc-cosine kernels are those of Cho and Saul 2009).

    p(X)  = Theta(X, X_S) (Theta_SS + lam I)^-1 y_S,     lam = regularization * trace(Theta_SS) / |S|
    L     = mean over the batch of | p(X_T) - y_T |^2 / 2
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.pool import Pool
from rcig_cli.distillation.records import Distilled, Tree, centred_one_hot, training_set
from rcig_cli.distillation.step import Learner, Proposal, Step, make_step
from rcig_cli.distillation.task import Task

WEIGHT_VARIANCE, BIAS_VARIANCE = 2.0, 0.01

# Above 1 minus so many times the precision of numbers, u is that of an image and itself: 1, and constant.
_SAME = 8


def neural_tangent_kernel(first: Array, second: Array, hidden_layers: int) -> Array:
    """Return Theta ``[n, m]`` of images ``[n, ...]`` and ``[m, ...]`` for networks of some hidden layers.

    Where two images are equal, the gradient is that of a constant angle between them.
    """
    a, b = (images.reshape(len(images), -1) for images in (first, second))
    scale = WEIGHT_VARIANCE / a.shape[1]
    sigma = scale * a @ b.T + BIAS_VARIANCE
    norms = [scale * jnp.sum(rows**2, 1) + BIAS_VARIANCE for rows in (a, b)]  # Sigma(x, x)
    theta = sigma
    for _ in range(hidden_layers):
        size = jnp.sqrt(norms[0][:, None] * norms[1])
        kappa_0, kappa_1 = _arc_cosine(sigma / size)
        sigma = size * kappa_1 + BIAS_VARIANCE
        norms = [norm + BIAS_VARIANCE for norm in norms]  # kappa_1(1) = 1
        theta = sigma + theta * kappa_0
    return theta


def _arc_cosine(u: Array) -> tuple[Array, Array]:
    """Return kappa_0 and kappa_1, whose derivatives at 1 are taken as 0 and 1."""
    most = 1 - _SAME * (2.0**-23 if u.dtype == jnp.float32 else 2.0**-52)
    same, inside = u >= most, jnp.clip(u, -most, most)
    kappa_0 = 1 - jnp.arccos(inside) / jnp.pi
    kappa_1 = inside * kappa_0 + jnp.sqrt(1 - inside**2) / jnp.pi
    return jnp.where(same, 1, kappa_0), jnp.where(same, u, kappa_1)


def make_kernel_inducing_points_step(task: Task, settings: Any) -> Step:
    """Build the `Step` of KIP, which uses no network and has no pool.

    Parameters
    ----------
    task
        The platform, and what is stored of the images.
    settings
        The method's settings: ``hidden_layers`` and ``regularization`` among them.
    """
    platform = task.platform

    def loss(psi: Distilled, images: Array, classes: Array) -> tuple[Array, Array]:
        distilled, labels = training_set(task.decode(psi.stored), psi.labels, flip=settings.flip)
        with jax.default_matmul_precision("highest"):
            own = neural_tangent_kernel(distilled, distilled, settings.hidden_layers)
            ridge = settings.regularization * jnp.trace(own) / len(own)
            factor = jax.scipy.linalg.cho_factor(own + ridge * jnp.eye(len(own), dtype=own.dtype), lower=True)
            coefficients = jax.scipy.linalg.cho_solve(factor, labels)
            p = neural_tangent_kernel(images, distilled, settings.hidden_layers) @ coefficients
        wanted = centred_one_hot(classes, labels.shape[1], p.dtype)
        value = jnp.sum((p - wanted) ** 2) / (2 * len(p))
        return value, jnp.mean(jnp.argmax(p, 1) == classes)

    def propose(
        learner: Learner, theta_0: Tree, images: Array, classes: Array, key: Array | None = None
    ) -> Proposal:
        del theta_0, key
        found = jax.value_and_grad(loss, has_aux=True)(learner.psi, images, classes)
        (value, accuracy), gradient = platform.average(found)
        metrics = {
            "loss": value,
            "accuracy": accuracy,
            "gradient_norm": optax.tree.norm(gradient.stored),
        }
        return Proposal(gradient, metrics, {})

    unused = Pool(size=settings.models, max_age=1, training_steps=0, lr=0.0)  # never renewed
    return make_step(task, settings, propose, unused, direction=optax.scale_by_adam())
