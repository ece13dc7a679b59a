"""RCIG from its definitions, with no shortcut: nested derivatives, dense Hessian, dense solves.

Parameters travel as one flat vector, so that a Hessian is a matrix.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree


class Problem(NamedTuple):
    """A distillation problem at one theta_0."""

    apply: object  # (parameters, images) -> (logits, features)
    theta_0: dict  # {"body": ..., "head": {"kernel", "bias"}}
    l2_rate: float
    flip: bool


def mirrored(problem, images, labels):
    """The set the inner problem is posed on."""
    if not problem.flip:
        return images, labels
    return jnp.concatenate([images, jnp.flip(images, 2)]), jnp.concatenate([labels, labels])


def flat_body(problem):
    """theta_0's body with the last bias as a flat vector, and the way back."""
    body = {"body": problem.theta_0["body"], "bias": problem.theta_0["head"]["bias"]}
    return ravel_pytree(body)


def body_network(problem, flat, images):
    """(logits, features) as a function of the flat body, the last kernel kept."""
    body = flat_body(problem)[1](flat)
    head = {"kernel": problem.theta_0["head"]["kernel"], "bias": body["bias"]}
    return problem.apply({"body": body["body"], "head": head}, images)


def linearised_body(problem, theta_B, images):
    """J theta_B, the centred linearized body."""
    at = flat_body(problem)[0]
    return jax.jvp(lambda flat: body_network(problem, flat, images)[0], (at,), (theta_B,))[1]


def features(problem, images):
    """h at theta_0."""
    return problem.apply(problem.theta_0, images)[1]


def last_kernel(problem, theta_B, images, labels, lam):
    """theta_F* by the normal equations in feature space: a derivation of its own of equation 3."""
    h = features(problem, images)
    target = labels - linearised_body(problem, theta_B, images)
    return jnp.linalg.solve(h.T @ h + lam * jnp.eye(h.shape[1]), h.T @ target)


def inner_loss(problem, theta_B, psi):
    """Squared error plus weight decay on both parts, divided by n C: equation 5 as it stands."""
    images, labels = mirrored(problem, psi[0], psi[1])
    lam = problem.l2_rate * psi[0].shape[0]
    theta_F = last_kernel(problem, theta_B, images, labels, lam)
    fit = linearised_body(problem, theta_B, images) + features(problem, images) @ theta_F
    error = jnp.sum((labels - fit) ** 2)
    return 0.5 * (error + lam * (jnp.sum(theta_F**2) + jnp.sum(theta_B**2))) / labels.size


def outer_loss(problem, theta_B, psi, real_images, real_classes, margin):
    """The Platt loss on real images, less the label margin."""
    images, labels = mirrored(problem, psi[0], psi[1])
    theta_F = last_kernel(problem, theta_B, images, labels, problem.l2_rate * psi[0].shape[0])
    p = linearised_body(problem, theta_B, real_images) + features(problem, real_images) @ theta_F
    log_probability = jax.nn.log_softmax(jnp.exp(psi[2]) * p)
    loss = -jnp.mean(log_probability[jnp.arange(len(real_classes)), real_classes])
    if margin:
        best = jnp.sort(psi[1], axis=1)
        loss -= jnp.mean(jnp.minimum(best[:, -1] - best[:, -2], 0.5 / psi[1].shape[1]))
    return loss


def hessian(problem, psi):
    """H as a matrix; it is the same at every theta_B."""
    zero = jnp.zeros_like(flat_body(problem)[0])
    return jax.jit(jax.hessian(lambda theta: inner_loss(problem, theta, psi)))(zero)


def minimizer(problem, psi):
    """theta_B*, by one Newton step from 0 (the loss is a quadratic)."""
    zero = jnp.zeros_like(flat_body(problem)[0])
    gradient = jax.jit(jax.grad(lambda theta: inner_loss(problem, theta, psi)))(zero)
    return -jnp.linalg.solve(hessian(problem, psi), gradient)


def inverse_hessian_product(problem, psi, g):
    """H^-1 g, densely."""
    return jnp.linalg.solve(hessian(problem, psi), g)


def direct(problem, theta_B, psi, real, margin):
    """dL_out/dpsi at fixed theta_B."""
    return jax.grad(outer_loss, 2)(problem, theta_B, psi, *real, margin)


def implicit(problem, theta_B, v, psi):
    """-d/dpsi <v, grad L_in> at fixed theta_B and v."""

    def coupling(psi):
        return -jnp.vdot(v, jax.grad(inner_loss, 1)(problem, theta_B, psi))

    return jax.grad(coupling)(psi)
