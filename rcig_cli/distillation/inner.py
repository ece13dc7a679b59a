"""The inner problem: ridge regression by the linearised network on the distilled set, a quadratic.

With the last kernel in closed form (paper, equations 3 and 4), r = y_S - J_S theta_B and A = h_S h_S^T +
lam I:

    L_in(theta_B) = s/2 ( tr(r^T A^-1 r) + |theta_B|^2 )
    grad L_in     = s ( theta_B - J_S^T A^-1 r )
    H v           = s ( v + J_S^T A^-1 J_S v )

    s = lam / (n C),    theta_F = h_S^T A^-1 r
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve

from rcig_cli.distillation.linearized import Linearized
from rcig_cli.distillation.records import Tree


class InnerProblem(NamedTuple):
    """The quadratic, with A factored.

    Attributes
    ----------
    J
        The linearised body on the distilled images: ``features``, ``product``, ``transposed``.
    labels
        y_S, ``[n, C]``.
    lam
        Regularisation, ``l2_rate * |S|``, |S| counted before the flip.
    factor
        Cholesky factor of A, ``[n, n]``.
    """

    J: Linearized
    labels: Array
    lam: float
    factor: Array

    @property
    def scale(self) -> float:
        """s = lam / (n C)."""
        return self.lam / self.labels.size


def inner_problem(J: Linearized, labels: Array, lam: float) -> InnerProblem:
    """Factor A once; every later solve with it is two triangular ones."""
    A = J.features @ J.features.T + lam * jnp.eye(labels.shape[0], dtype=labels.dtype)
    return InnerProblem(J, labels, lam, cho_factor(A, lower=True)[0])


def solve(problem: InnerProblem, rhs: Array) -> Array:
    """``A^-1 rhs`` for ``rhs [n, C]``."""
    return cho_solve((problem.factor, True), rhs)


def solve_through(problem: InnerProblem, features: Array, rhs: Array) -> Array:
    """``A(features)^-1 rhs``, differentiable in both, using the factor at hand in either direction."""

    def multiply(x: Array) -> Array:
        return features @ (features.T @ x) + problem.lam * x

    solution: Array = jax.lax.custom_linear_solve(
        multiply, rhs, solve=lambda _, b: solve(problem, b), symmetric=True
    )
    return solution


def value_and_gradient(problem: InnerProblem, theta: Tree) -> tuple[Array, Tree]:
    """L_in and its gradient at theta_B."""
    r = problem.labels - problem.J.product(theta)
    alpha = solve(problem, r)
    pulled = problem.J.transposed(alpha)
    value = 0.5 * problem.scale * (jnp.vdot(r, alpha) + optax.tree.norm(theta, squared=True))
    return value, jax.tree.map(lambda t, p: problem.scale * (t - p), theta, pulled)


def value_and_gradient_at_zero(problem: InnerProblem) -> tuple[Array, Tree]:
    """The same at theta_B = 0, where J_S theta_B needs no product."""
    alpha = solve(problem, problem.labels)
    value = 0.5 * problem.scale * jnp.vdot(problem.labels, alpha)
    return value, optax.tree.scale(-problem.scale, problem.J.transposed(alpha))


def hessian_product(problem: InnerProblem, v: Tree) -> Tree:
    """``H v``."""
    pulled = problem.J.transposed(solve(problem, problem.J.product(v)))
    return jax.tree.map(lambda a, p: problem.scale * (a + p), v, pulled)


def dual_product(problem: InnerProblem, beta: Array) -> Array:
    """``(A (x) I_C + J_S J_S^T) beta`` for ``beta [n, C]``: ridge regression under the tangent kernel."""
    h = problem.J.features
    ridge = h @ (h.T @ beta) + problem.lam * beta
    return ridge + problem.J.product(problem.J.transposed(beta))
