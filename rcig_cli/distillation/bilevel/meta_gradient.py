"""The meta-gradient, the gradient of the outer loss in psi (paper, equation 1, with the sign corrected).

    direct   = dL_out/dpsi at fixed theta
    implicit = -d/dpsi < v, grad L_in >,    v = H^-1 g_T and theta held fixed

             = d/dpsi  s < J_S v, A^-1 (y_S - J_S theta) >         with the last kernel in closed form
             = d/dpsi  < J_S v, y_S - f_S(theta) > / (n C)         without

psi enters only through y_S and the network's outputs on X_S: h_S, f_S(theta) and J_S v.  So both gradients
are cotangents of these, pulled back through one reverse pass over the distilled images, and through their
decoding to the arrays that are stored.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.bilevel.outer import OuterLoss, label_margin
from rcig_cli.distillation.records import Distilled, training_set
from rcig_cli.distillation.settings import RidgeSettings
from rcig_cli.distillation.task import Task

Stored = Mapping[str, Array]
Part = Callable[[Any, Array], Any]  # (outputs, labels) -> the gradient in both, or None where it is zero


def meta_gradient(
    psi: Distilled,
    task: Task,
    settings: RidgeSettings,
    outer: OuterLoss,
    outputs: Callable[[Array], Any],
    *,
    direct: Part,
    implicit: Part,
) -> tuple[Distilled, Distilled]:
    """Direct and implicit gradient in psi.

    Parameters
    ----------
    psi
        The learned quantities.
    task
        Decodes the images.
    settings
        ``flip``: whether mirrored images are part of the set; ``label_margin``: whether the outer loss has
        that term.
    outer
        The outer loss at the solution of the inner problem.
    outputs
        Outputs of the network on images ``[n, H, W, c]``.
    direct, implicit
        Both gradients in the outputs and the labels.
    """

    def outputs_and_labels(stored: Stored, labels: Array) -> tuple[Any, Array]:
        images, labels = training_set(task.decode(stored), labels, flip=settings.flip)
        return outputs(images), labels

    def pulled(part: Any) -> tuple[Stored, Array]:
        if part is None:
            return jax.tree.map(jnp.zeros_like, (psi.stored, psi.labels))
        stored, labels = pull(part)
        return stored, labels

    at, pull = jax.vjp(outputs_and_labels, psi.stored, psi.labels)
    stored, labels = pulled(direct(*at))
    if settings.label_margin:
        labels = labels - jax.grad(label_margin)(psi.labels)
    of_direct = Distilled(stored, labels, outer.log_temperature)
    stored, labels = pulled(implicit(*at))
    return of_direct, Distilled(stored, labels, jnp.zeros_like(psi.log_temperature))


def combine(direct: Distilled, implicit: Distilled, *, limit: bool) -> Distilled:
    """Add the two; with ``limit``, scale each leaf of the implicit gradient down to the direct one's norm.

    The limit is for methods with a direct gradient.  Values that are not finite count as 0.
    """

    def leaf(d: Array, i: Array) -> Array:
        i = jnp.nan_to_num(i, nan=0.0, posinf=0.0, neginf=0.0)
        if not limit:
            return d + i
        norm = jnp.linalg.norm(i)
        return d + i * jnp.minimum(1, jnp.linalg.norm(d) / jnp.where(norm > 0, norm, 1))

    return jax.tree.map(leaf, direct, implicit)
