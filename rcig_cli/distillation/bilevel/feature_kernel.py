"""The feature kernel, and the last kernel in closed form (paper, equation 3).

    A = h_S h_S^T + lam I,    theta_F = h_S^T A^-1 r

r = y_S - J_S theta_B for RCIG, and y_S for FRePo and RFAD.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve


class FeatureKernel(NamedTuple):
    """A, factored once: every later solve with it is two triangular ones.

    Attributes
    ----------
    features
        h_S, ``[n, d]``.
    lam
        Regularization, ``l2_rate * |S|``, |S| counted before the flip.
    factor
        Cholesky factor of A, ``[n, n]``; in float64 if solves are.
    """

    features: Array
    lam: float
    factor: Array

    def solve(self, rhs: Array) -> Array:
        """``A^-1 rhs`` for ``rhs [n, C]``, in the factor's precision; returned in that of ``rhs``."""
        if self.factor.dtype == rhs.dtype:
            return cho_solve((self.factor, True), rhs)
        with jax.enable_x64(True):
            return cho_solve((self.factor, True), rhs.astype(self.factor.dtype)).astype(rhs.dtype)

    def solve_through(self, features: Array, rhs: Array) -> Array:
        """``A(features)^-1 rhs``, differentiable in both, by the factor at hand."""

        def multiply(x: Array) -> Array:
            return features @ (features.T @ x) + self.lam * x

        solution: Array = jax.lax.custom_linear_solve(
            multiply, rhs, solve=lambda _, b: self.solve(b), symmetric=True
        )
        return solution

    def through_last_kernel(self, gradient: Array, features: Array, residual: Array) -> Array:
        """``<gradient, theta_F>``, differentiable in features and residual, for a gradient ``[d, C]``."""
        alpha = self.solve_through(features, residual)
        return jnp.vdot(gradient, features.T @ alpha)


def feature_kernel(features: Array, lam: float, *, float64: bool = False) -> FeatureKernel:
    """Factor A; with ``float64``, in float64, as are its solves (paper, S3, "Miscellaneous")."""
    if not float64:
        return FeatureKernel(features, lam, _factor(features, lam))
    with jax.enable_x64(True):
        return FeatureKernel(features, lam, _factor(features.astype(jnp.float64), lam))


def _factor(h: Array, lam: float) -> Array:
    factor: Array = cho_factor(h @ h.T + lam * jnp.eye(h.shape[0], dtype=h.dtype), lower=True)[0]
    return factor
