"""CIG, VIG and FRePo from their definitions: all parameters as one flat vector, dense Hessians, no shortcut.

An offset ``theta`` from theta_0 is what is solved for; labels are centred one-hot on both sides.
"""

import jax
import jax.numpy as jnp
import scipy.optimize
from jax.flatten_util import ravel_pytree

from tests.oracles.rcig import features, mirrored


def flat_all(problem):
    """theta_0 as a flat vector, and the way back."""
    return ravel_pytree(problem.theta_0)


def output(algorithm, problem, theta, images):
    """f at theta: linearized and centred for CIG, the network itself for VIG."""
    at, unravel = flat_all(problem)

    def logits(flat):
        return problem.apply(unravel(flat), images)[0]

    if algorithm == "vig":
        return logits(at + theta)
    return jax.jvp(logits, (at,), (theta,))[1]


def inner_loss(algorithm, problem, theta, psi):
    """Squared error plus weight decay, divided by n C."""
    images, labels = mirrored(problem, psi[0], psi[1])
    error = jnp.sum((labels - output(algorithm, problem, theta, images)) ** 2)
    decay = problem.l2_rate * psi[0].shape[0] * jnp.sum(theta**2)
    return 0.5 * (error + decay) / labels.size


def outer_loss(algorithm, problem, theta, psi, real_images, real_classes):
    """Half the mean squared error on real images; for FRePo by kernel ridge regression on the features."""
    if algorithm == "frepo":
        images, labels = mirrored(problem, psi[0], psi[1])
        h, lam = features(problem, images), problem.l2_rate * psi[0].shape[0]
        kernel = jnp.linalg.solve(h.T @ h + lam * jnp.eye(h.shape[1]), h.T @ labels)
        p = features(problem, real_images) @ kernel
    else:
        p = output(algorithm, problem, theta, real_images)
    classes = p.shape[1]
    return 0.5 * jnp.mean((p - jax.nn.one_hot(real_classes, classes) + 1 / classes) ** 2)


def hessian(algorithm, problem, theta, psi):
    """H as a matrix."""
    return jax.jit(jax.hessian(lambda t: inner_loss(algorithm, problem, t, psi)))(theta)


def make_minimizer(algorithm, problem):
    """Return ``(psi, start) -> theta*`` near ``start``: Newton's method in trust regions, then undamped."""

    def value(theta, psi):
        return inner_loss(algorithm, problem, theta, psi)

    loss, first, second = jax.jit(value), jax.jit(jax.grad(value)), jax.jit(jax.hessian(value))

    def minimize(psi, start):
        found = scipy.optimize.minimize(loss, start, (psi,), jac=first, hess=second, method="trust-exact")
        theta = jnp.asarray(found.x)
        for _ in range(8):
            theta = theta - jnp.linalg.solve(second(theta, psi), first(theta, psi))
        return theta

    return minimize


def implicit(algorithm, problem, theta, v, psi):
    """-d/dpsi <v, grad L_in> at fixed theta and v."""

    def coupling(psi):
        return -jnp.vdot(v, jax.grad(inner_loss, 2)(algorithm, problem, theta, psi))

    return jax.grad(coupling)(psi)
