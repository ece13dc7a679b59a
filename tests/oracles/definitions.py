"""RCIG, CIG, VIG, FRePo and RFAD from their definitions: nested derivatives, dense Hessians, dense solves.

What is solved for is one flat vector ``theta``, so that a Hessian is a matrix: an offset from theta_0 of all
parameters, for RCIG of all but the last kernel.  Labels are centred one-hot on both sides.
"""

from operator import itemgetter
from typing import NamedTuple

import jax
import jax.numpy as jnp
import scipy.optimize
from jax.flatten_util import ravel_pytree


class Problem(NamedTuple):
    """A distillation problem at one theta_0."""

    algorithm: str
    apply: object  # (parameters, images) -> (logits, features)
    theta_0: dict  # {"body": ..., "head": {"kernel", "bias"}}
    l2_rate: float
    flip: bool
    decode: object = itemgetter("images")  # from what is stored to images


def mirrored(problem, psi):
    """The training set of the inner problem."""
    images, labels = problem.decode(psi[0]), psi[1]
    if not problem.flip:
        return images, labels
    return jnp.concatenate([images, jnp.flip(images, 2)]), jnp.concatenate([labels, labels])


def solved_for(problem):
    """The part of theta_0 that theta is an offset from, as a flat vector, and the way back."""
    theta_0 = problem.theta_0
    if problem.algorithm == "rcig":
        return ravel_pytree({"body": theta_0["body"], "bias": theta_0["head"]["bias"]})
    return ravel_pytree(theta_0)


def output(problem, theta, images):
    """f at theta: linearized and centred for RCIG and CIG, the network itself for VIG."""
    at, unravel = solved_for(problem)

    def logits(flat):
        parameters = unravel(flat)
        if problem.algorithm == "rcig":
            head = {"kernel": problem.theta_0["head"]["kernel"], "bias": parameters["bias"]}
            parameters = {"body": parameters["body"], "head": head}
        return problem.apply(parameters, images)[0]

    if problem.algorithm == "vig":
        return logits(at + theta)
    return jax.jvp(logits, (at,), (theta,))[1]


def features(problem, images):
    """h at theta_0."""
    return problem.apply(problem.theta_0, images)[1]


def last_kernel(problem, theta, psi):
    """theta_F* by the normal equations in feature space, derived independently of equation 3."""
    images, labels = mirrored(problem, psi)
    h, lam = features(problem, images), problem.l2_rate * psi[1].shape[0]
    target = labels - output(problem, theta, images) if problem.algorithm == "rcig" else labels
    return jnp.linalg.solve(h.T @ h + lam * jnp.eye(h.shape[1]), h.T @ target)


def prediction(problem, theta, psi, images):
    """The predictions for images of the model at theta."""
    if problem.algorithm in ("cig", "vig"):
        return output(problem, theta, images)
    p = features(problem, images) @ last_kernel(problem, theta, psi)
    return p + output(problem, theta, images) if problem.algorithm == "rcig" else p


def inner_loss(problem, theta, psi):
    """Squared error plus weight decay on all that is fitted, divided by n C (for RCIG, equation 5)."""
    images, labels = mirrored(problem, psi)
    error = jnp.sum((labels - prediction(problem, theta, psi, images)) ** 2)
    decay = jnp.sum(theta**2)
    if problem.algorithm == "rcig":
        decay += jnp.sum(last_kernel(problem, theta, psi) ** 2)
    return 0.5 * (error + problem.l2_rate * psi[1].shape[0] * decay) / labels.size


def outer_loss(problem, theta, psi, real_images, real_classes, margin):
    """The loss on real images, Platt's for RCIG and RFAD, else the squared error; less the label margin."""
    p = prediction(problem, theta, psi, real_images)
    classes = p.shape[1]
    if problem.algorithm in ("rcig", "rfad"):
        log_probability = jax.nn.log_softmax(jnp.exp(psi[2]) * p)
        loss = -jnp.mean(log_probability[jnp.arange(len(real_classes)), real_classes])
    else:
        loss = 0.5 * jnp.mean((p - jax.nn.one_hot(real_classes, classes) + 1 / classes) ** 2)
    if margin:
        best = jnp.sort(psi[1], axis=1)
        loss -= jnp.mean(jnp.minimum(best[:, -1] - best[:, -2], 0.5 / classes))
    return loss


def hessian(problem, theta, psi):
    """H as a matrix."""
    return jax.hessian(inner_loss, 1)(problem, theta, psi)


def make_minimizer(problem):
    """Return ``psi -> theta*``: one Newton step for a quadratic, for VIG first Newton in trust regions.

    For VIG, a later call starts at the minimum that the first one found.
    """
    zero = jnp.zeros_like(solved_for(problem)[0])
    loss, gradient, second = (
        jax.jit(lambda theta, psi, of=of: of(problem, theta, psi))
        for of in (inner_loss, jax.grad(inner_loss, 1), hessian)
    )
    found = []

    def minimize(psi):
        if problem.algorithm != "vig":
            return -jnp.linalg.solve(second(zero, psi), gradient(zero, psi))
        if not found:
            best = scipy.optimize.minimize(
                loss, zero, (psi,), jac=gradient, hess=second, method="trust-exact"
            )
            found.append(jnp.asarray(best.x))
        theta = found[0]
        for _ in range(8):
            theta = theta - jnp.linalg.solve(second(theta, psi), gradient(theta, psi))
        return theta

    return minimize


def direct(problem, theta, psi, real, margin):
    """dL_out/dpsi at fixed theta."""
    return jax.grad(outer_loss, 2)(problem, theta, psi, *real, margin)


def implicit(problem, theta, v, psi):
    """-d/dpsi <v, grad L_in> at fixed theta and v."""

    def coupling(psi):
        return -jnp.vdot(v, jax.grad(inner_loss, 1)(problem, theta, psi))

    return jax.grad(coupling)(psi)
