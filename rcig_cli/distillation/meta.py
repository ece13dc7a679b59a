"""The meta-gradient: how the outer loss changes with psi (paper, equation 1, with the right sign).

    direct   = dL_out/dpsi at fixed theta_B
    implicit = -d/dpsi <v, grad L_in> = d/dpsi  s < J_S v, A^-1 (y_S - J_S theta_B) >,    v = H^-1 g_T fixed

psi enters both through h_S, a = J_S theta_B, b = J_S v and y_S alone, so each is a cotangent of these,
pulled back through one reverse pass over the distilled images.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.inner import InnerProblem, solve, solve_through
from rcig_cli.distillation.linearized import Apply, split
from rcig_cli.distillation.outer import PlattLoss, label_margin
from rcig_cli.distillation.records import Distilled, Tree, training_set


class Views(NamedTuple):
    """All that the losses see of the distilled set.

    Attributes
    ----------
    features
        h_S, ``[n, d]``.
    by_theta, by_v
        ``a = J_S theta_B`` and ``b = J_S v``, ``[n, C]``.
    labels
        y_S, ``[n, C]``.
    """

    features: Array
    by_theta: Array
    by_v: Array
    labels: Array


def views(
    apply_body: Apply, theta_0: Tree, theta_B: Tree, v: Tree, images: Array, labels: Array, parts: int
) -> Views:
    """The views of a training set ``images [n, H, W, c]``, ``labels [n, C]``, differentiable in both."""

    def of_part(part: Array) -> tuple[Array, Array, Array]:
        (_, features), derivative = jax.linearize(lambda theta: apply_body(theta, part), theta_0)
        return features, derivative(theta_B)[0], derivative(v)[0]

    columns = zip(*(of_part(part) for part in split(images, parts)), strict=True)
    features, by_theta, by_v = (jnp.concatenate(column) for column in columns)
    return Views(features, by_theta, by_v, labels)


def outer_gradient(problem: InnerProblem, platt: PlattLoss) -> Tree:
    """g_T = dL_out/dtheta_B, theta_F following theta_B."""
    through_head = problem.J.transposed(solve(problem, problem.J.features @ platt.head))
    return optax.tree.sub(platt.body, through_head)


def direct_gradient(problem: InnerProblem, platt: PlattLoss, seen: Views) -> Views:
    """Gradient of the Platt loss in the views, at fixed theta_B: through theta_F = h_S^T A^-1 (y_S - a)."""

    def through_head(seen: Views) -> Array:
        alpha = solve_through(problem, seen.features, seen.labels - seen.by_theta)
        return jnp.vdot(platt.head, seen.features.T @ alpha)

    return jax.grad(through_head)(seen)


def implicit_gradient(problem: InnerProblem, seen: Views) -> Views:
    """Gradient of ``s < b, A^-1 (y_S - a) >`` in the views."""

    def coupling(seen: Views) -> Array:
        alpha = solve_through(problem, seen.features, seen.labels - seen.by_theta)
        return problem.scale * jnp.vdot(seen.by_v, alpha)

    return jax.grad(coupling)(seen)


def meta_gradient(
    problem: InnerProblem,
    platt: PlattLoss,
    psi: Distilled,
    see: tuple[Apply, Tree, Tree, Tree, int],
    *,
    flip: bool,
    margin: bool,
) -> tuple[Distilled, Distilled]:
    """Direct and implicit gradient in psi.

    Parameters
    ----------
    problem, platt
        The inner problem, and the outer loss at its solution.
    psi
        What is learned.
    see
        ``(apply_body, theta_0, theta_B, v, parts)``: what the views are made with.
    flip, margin
        Whether the mirror images are part of the set, and the label margin of the loss.
    """
    apply_body, theta_0, theta_B, v, parts = see

    def look(images: Array, labels: Array) -> Views:
        used = training_set(images, labels, flip=flip)
        return views(apply_body, theta_0, theta_B, v, *used, parts)

    seen, pull = jax.vjp(look, psi.images, psi.labels)
    images, labels = pull(direct_gradient(problem, platt, seen))
    if margin:
        labels = labels - jax.grad(label_margin)(psi.labels)
    direct = Distilled(images, labels, platt.log_temperature)
    images, labels = pull(implicit_gradient(problem, seen))
    return direct, Distilled(images, labels, jnp.zeros_like(psi.log_temperature))


def combine(direct: Distilled, implicit: Distilled) -> Distilled:
    """Add the two, each leaf of the implicit one scaled down to the direct one's norm where it is larger."""

    def leaf(d: Array, i: Array) -> Array:
        i = jnp.nan_to_num(i, nan=0.0, posinf=0.0, neginf=0.0)
        norm = jnp.linalg.norm(i)
        return d + i * jnp.minimum(1, jnp.linalg.norm(d) / jnp.where(norm > 0, norm, 1))

    return jax.tree.map(leaf, direct, implicit)
