"""Solves of the dual system, (A (x) I_C + K) beta = rhs with K = J_S J_S^T, by other means than the tool's.

The system is given by its product with a vector, be it through the network or by a matrix, so that the same
few lines are both measured and timed.  Vectors are ``[n, C]``.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve, solve_triangular

from rcig_cli.distillation.bilevel.linearized import Network, body_of, with_body
from rcig_cli.distillation.records import Tree

Linear = Callable[[Array], Array]


class Direction(NamedTuple):
    """A direction and the system's product with it."""

    of: Array
    image: Array


class Solve(NamedTuple):
    """What conjugate gradients found.

    Attributes
    ----------
    iterates
        The solution after 0, 1, ... iterations.
    directions, lengths
        Those gone in, conjugate to one another, and how far.
    """

    iterates: list[Array]
    directions: list[Direction]
    lengths: list[Array]


def conjugate_gradients(
    multiply: Linear,
    precondition: Linear,
    start: tuple[Array, Array],
    steps: int,
    settle: Callable[[Any], Any] = lambda tree: tree,
) -> Solve:
    """Iterate from ``start``: a guess and its residual.  ``settle`` is the platform's."""
    beta, residual = start
    direction = precondition(residual)
    energy = jnp.vdot(residual, direction)
    found = Solve([beta], [], [])
    for _ in range(steps):
        beta, residual, direction, energy = settle((beta, residual, direction, energy))
        image = multiply(direction)
        length = _ratio(energy, jnp.vdot(direction, image))
        beta, residual = beta + length * direction, residual - length * image
        found.iterates.append(beta)
        found.lengths.append(length)
        found.directions.append(Direction(direction, image))
        preconditioned = precondition(residual)
        before, energy = energy, jnp.vdot(residual, preconditioned)
        direction = preconditioned + _ratio(energy, before) * direction
    return found


def from_zero(rhs: Array) -> tuple[Array, Array]:
    """A start that knows nothing."""
    return jnp.zeros_like(rhs), rhs


def along(directions: Iterable[Direction], start: tuple[Array, Array]) -> tuple[Array, Array]:
    """The best start in the span of conjugate directions whose images are known; it costs no product."""
    beta, residual = start
    for one in directions:
        length = _ratio(jnp.vdot(one.of, residual), jnp.vdot(one.of, one.image))
        beta, residual = beta + length * one.of, residual - length * one.image
    return beta, residual


def by_kernel(kernel: Array) -> Linear:
    """Precondition by ``kernel^-1 (x) I_C``."""
    factor = cho_factor(kernel, lower=True)
    return lambda rhs: cho_solve(factor, rhs)


def by_sketch(A: Array, K: Linear, classes: int, rank: int, key: Array) -> Linear:
    """Precondition by A and a Nystrom approximation of L^-1 K L^-T, A = L L^T, from ``rank`` products."""
    n = A.shape[0]
    L = jnp.linalg.cholesky(A)
    test = jnp.linalg.qr(jax.random.normal(key, (n * classes, rank)))[0]
    probes = test.T.reshape(rank, n, classes)

    def whitened(x: Array) -> Array:
        return solve_triangular(L, K(solve_triangular(L, x, lower=True, trans=1)), lower=True)

    seen = jax.vmap(whitened)(probes).reshape(rank, -1).T
    shift = 1e-6 * jnp.linalg.norm(seen)
    seen = seen + shift * test
    gram = test.T @ seen
    root = jnp.linalg.cholesky((gram + gram.T) / 2)
    U, singular, _ = jnp.linalg.svd(solve_triangular(root, seen.T, lower=True).T, full_matrices=False)
    values = jnp.maximum(singular**2 - shift, 0)
    weights = (1 + values[-1]) / (1 + values) - 1

    def precondition(rhs: Array) -> Array:
        flat = solve_triangular(L, rhs, lower=True).ravel()
        flat = flat + U @ (weights * (U.T @ flat))
        return solve_triangular(L, flat.reshape(rhs.shape), lower=True, trans=1)

    return precondition


def signs(key: Array, count: int, classes: int) -> Array:
    """Random signs, ``[count, C]``."""
    return jax.random.rademacher(key, (count, classes), jnp.float32)


def seen_by(K: Any, weights: Any) -> Any:
    """``[n, n]``: the mean over ``weights [count, C]`` of ``sum w_c w_c' K[i c, j c'] / C``."""
    outer = weights.T @ weights / weights.size
    return np.einsum("icjd,cd->ij", K, outer)


def gradients(network: Network, theta_0: Tree, images: Array, weights: Array) -> Array:
    """Of each image and row of ``weights [r, C]`` the gradient of ``<row, f>``: ``[n, r, parameters]``."""
    apply, at = with_body(network.apply, theta_0), body_of(theta_0)

    def of_one(image: Array) -> Array:
        _, pull = jax.vjp(lambda theta: apply(theta, image[None])[0][0], at)
        pulled = jax.vmap(lambda row: pull(row)[0])(weights)
        leaves = [leaf.reshape(len(weights), -1) for leaf in jax.tree.leaves(pulled)]
        return jnp.concatenate(leaves, 1)

    return jax.vmap(of_one)(images)


def _ratio(a: Array, b: Array) -> Array:
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
