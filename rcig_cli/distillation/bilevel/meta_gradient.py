"""The meta-gradient: how the outer loss changes with psi (paper, equation 1, with the right sign).

    direct   = dL_out/dpsi at fixed theta
    implicit = -d/dpsi <v, grad L_in>,    v = H^-1 g_T and theta held fixed

             = d/dpsi  s < J_S v, A^-1 (y_S - J_S theta) >         with the last kernel in closed form
             = d/dpsi  < J_S v, y_S - f_S(theta) > / (n C)         without

psi enters through h_S, a = f_S(theta), b = J_S v and y_S alone, so each is a cotangent of these, pulled back
through one reverse pass over the distilled images.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.bilevel.inner import InnerProblem, solve_through
from rcig_cli.distillation.bilevel.outer import Judged, label_margin
from rcig_cli.distillation.bilevel.student import Sight
from rcig_cli.distillation.family import Member
from rcig_cli.distillation.records import Distilled, Tree, training_set


class Views(NamedTuple):
    """All that the losses see of the distilled set.

    Attributes
    ----------
    sight
        Of the images.
    labels
        y_S, ``[n, C]``.
    """

    sight: Sight
    labels: Array

    @property
    def residual(self) -> Array:
        """``y_S - f_S(theta)``, ``[n, C]``."""
        return self.labels - self.sight.by_theta


def outer_gradient(member: Member, problem: Any, judged: Judged) -> Tree:
    """g_T = dL_out/dtheta, theta_F following theta where it has a closed form."""
    if not member.closed_form:
        return judged.parameters
    through_head = problem.J.transposed(problem.solve(problem.J.features @ judged.head))
    return optax.tree.sub(judged.body, through_head)


def direct_gradient(problem: InnerProblem, judged: Judged, seen: Views) -> Views:
    """Gradient of the outer loss in the views, at fixed theta: through theta_F = h_S^T A^-1 (y_S - a)."""

    def through_head(seen: Views) -> Array:
        alpha = solve_through(problem, seen.sight.features, seen.residual)
        return jnp.vdot(judged.head, seen.sight.features.T @ alpha)

    return jax.grad(through_head)(seen)


def implicit_gradient(member: Member, problem: Any, seen: Views) -> Views:
    """Gradient of ``s < b, A^-1 (y_S - a) >``, or ``< b, y_S - a > / (n C)``, in the views."""

    def coupling(seen: Views) -> Array:
        if not member.closed_form:
            return jnp.vdot(seen.sight.by_v, seen.residual) / seen.labels.size
        alpha = solve_through(problem, seen.sight.features, seen.residual)
        return problem.scale * jnp.vdot(seen.sight.by_v, alpha)

    return jax.grad(coupling)(seen)


def meta_gradient(
    member: Member,
    problem: Any,
    judged: Judged,
    psi: Distilled,
    see: Callable[[Array], Sight],
    *,
    flip: bool,
    margin: bool,
) -> tuple[Distilled, Distilled]:
    """Direct and implicit gradient in psi; a part that the member doesn't have is 0.

    Parameters
    ----------
    member
        Of the family.
    problem, judged
        The inner problem, and the outer loss at its solution.
    psi
        What is learned.
    see
        What the problem sees of images.
    flip, margin
        Whether the mirror images are part of the set, and the label margin of the loss.
    """

    def views(images: Array, labels: Array) -> Views:
        images, labels = training_set(images, labels, flip=flip)
        return Views(see(images), labels)

    seen, pull = jax.vjp(views, psi.images, psi.labels)
    nothing = jnp.zeros_like(psi.images), jnp.zeros_like(psi.labels)
    images, labels = pull(direct_gradient(problem, judged, seen)) if member.closed_form else nothing
    if margin:
        labels = labels - jax.grad(label_margin)(psi.labels)
    direct = Distilled(images, labels, judged.log_temperature)
    images, labels = pull(implicit_gradient(member, problem, seen)) if member.solves else nothing
    return direct, Distilled(images, labels, jnp.zeros_like(psi.log_temperature))


def combine(direct: Distilled, implicit: Distilled, *, limit: bool = True) -> Distilled:
    """Add the two; with ``limit``, each leaf of the implicit one scaled down to the direct one's norm.

    The limit holds where the direct gradient is part of the algorithm; values that are not finite count as 0.
    """

    def leaf(d: Array, i: Array) -> Array:
        i = jnp.nan_to_num(i, nan=0.0, posinf=0.0, neginf=0.0)
        if not limit:
            return d + i
        norm = jnp.linalg.norm(i)
        return d + i * jnp.minimum(1, jnp.linalg.norm(d) / jnp.where(norm > 0, norm, 1))

    return jax.tree.map(leaf, direct, implicit)
