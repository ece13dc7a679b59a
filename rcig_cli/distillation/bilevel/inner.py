"""The inner problem: ridge regression on the distilled set, by the network, linearized or as it is.

Linearized, it is a quadratic.  With the last kernel in closed form (paper, equations 3 and 4),
r = y_S - J_S theta and A = h_S h_S^T + lam I:

    L_in(theta) = s/2 ( tr(r^T A^-1 r) + |theta|^2 )
    grad L_in   = s ( theta - J_S^T A^-1 r )
    H v         = s ( v + J_S^T A^-1 J_S v )

    s = lam / (n C),    theta_F = h_S^T A^-1 r

Without a closed form it is the same with no features, A = lam I, and theta all parameters:
``( |r|^2 + lam |theta|^2 ) / (2 n C)``.  That loss on the network as it is, r = y_S - f(theta_0 + theta), is
`VanillaProblem`.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.scipy.linalg import cho_factor, cho_solve

from rcig_cli.distillation.bilevel.linearized import Linearized
from rcig_cli.distillation.bilevel.subsampling import choose
from rcig_cli.distillation.records import Tree, split, total


class Minimisable(Protocol):
    """What Adam needs of an inner problem."""

    def value_and_gradient(self, theta: Tree) -> tuple[Array, Tree]:
        """L_in and its gradient at theta."""

    def value_and_gradient_at_zero(self) -> tuple[Array, Tree]:
        """The same at theta = 0."""

    def hessian(self, theta: Tree) -> Callable[[Tree], Tree]:
        """``v -> H v`` at theta."""

    def with_new_subset(self, key: Array | None) -> Self:
        """The problem with gradients through a fresh subset of the images, if subsets are used."""


class InnerProblem(NamedTuple):
    """The quadratic, with A factored.

    Attributes
    ----------
    J
        The linearized network on the distilled images: ``features``, ``product``, ``transposed``.
    labels
        y_S, ``[n, C]``.
    lam
        Regularization, ``l2_rate * |S|``, |S| counted before the flip.
    factor
        Cholesky factor of A, ``[n, n]``; float64 if solves are.
    """

    J: Linearized
    labels: Array
    lam: float
    factor: Array

    @property
    def scale(self) -> float:
        """s = lam / (n C)."""
        return self.lam / self.labels.size

    def with_new_subset(self, key: Array | None) -> Self:
        """The problem with J_S^T through a fresh subset of the images, if subsets are used."""
        if key is None or self.J.draw is None:
            return self
        return self._replace(J=self.J._replace(transposed=self.J.draw(key)))

    def solve(self, rhs: Array) -> Array:
        """``A^-1 rhs`` for ``rhs [n, C]``, in the factor's precision; returned in that of ``rhs``."""
        if self.factor.dtype == rhs.dtype:
            return cho_solve((self.factor, True), rhs)
        with jax.enable_x64(True):
            return cho_solve((self.factor, True), rhs.astype(self.factor.dtype)).astype(rhs.dtype)

    def value_and_gradient(self, theta: Tree) -> tuple[Array, Tree]:
        """L_in and its gradient at theta."""
        r = self.labels - self.J.product(theta)
        alpha = self.solve(r)
        pulled = self.J.transposed(alpha)
        value = 0.5 * self.scale * (jnp.vdot(r, alpha) + optax.tree.norm(theta, squared=True))
        return value, jax.tree.map(lambda t, p: self.scale * (t - p), theta, pulled)

    def value_and_gradient_at_zero(self) -> tuple[Array, Tree]:
        """The same at theta = 0, where J_S theta needs no product."""
        alpha = self.solve(self.labels)
        value = 0.5 * self.scale * jnp.vdot(self.labels, alpha)
        return value, optax.tree.scale(-self.scale, self.J.transposed(alpha))

    def hessian(self, theta: Tree) -> Callable[[Tree], Tree]:
        """``v -> H v``, the same at every theta."""
        del theta

        def product(v: Tree) -> Tree:
            pulled = self.J.transposed(self.solve(self.J.product(v)))
            return jax.tree.map(lambda a, p: self.scale * (a + p), v, pulled)

        return product

    def dual_product(self, beta: Array) -> tuple[Array, Tree]:
        """``(A (x) I_C + J_S J_S^T) beta`` for ``beta [n, C]``, and the ``J_S^T beta`` in it.

        The operator of ridge regression under the tangent kernel.
        """
        h, pulled = self.J.features, self.J.transposed(beta)
        ridge = h @ (h.T @ beta) + self.lam * beta
        return ridge + self.J.product(pulled), pulled


def inner_problem(J: Linearized, labels: Array, lam: float, *, float64: bool = False) -> InnerProblem:
    """Factor A once; every later solve with it is two triangular ones.

    With ``float64``, A and its solves are in float64, and everything else is unchanged (paper, S3,
    "Miscellaneous").
    """
    if not float64:
        return InnerProblem(J, labels, lam, _factor(J.features, lam))
    with jax.enable_x64(True):
        return InnerProblem(J, labels, lam, _factor(J.features.astype(jnp.float64), lam))


def _factor(h: Array, lam: float) -> Array:
    factor: Array = cho_factor(h @ h.T + lam * jnp.eye(h.shape[0], dtype=h.dtype), lower=True)[0]
    return factor


def solve_through(problem: InnerProblem, features: Array, rhs: Array) -> Array:
    """Return ``A(features)^-1 rhs``, differentiable in both, by the factor of the problem."""

    def multiply(x: Array) -> Array:
        return features @ (features.T @ x) + problem.lam * x

    solution: Array = jax.lax.custom_linear_solve(
        multiply, rhs, solve=lambda _, b: problem.solve(b), symmetric=True
    )
    return solution


class VanillaProblem(NamedTuple):
    """The inner problem on the network as it is.

    Attributes
    ----------
    f
        ``(theta, images) -> f(theta_0 + theta)``, ``[n, C]``.
    images, labels
        X_S and y_S, ``[n, H, W, c]`` and ``[n, C]``.
    zero
        theta = 0.
    lam
        Regularization, ``l2_rate * |S|``.
    parts
        Into how many parts the images are cut.
    subset
        Size of the subset that loss and gradient are estimated from, or None.
    weight
        How many images each image of the subset stands for.
    """

    f: Callable[[Tree, Array], Array]
    images: Array
    labels: Array
    zero: Tree
    lam: float
    parts: int
    subset: int | None = None
    weight: float = 1.0

    def with_new_subset(self, key: Array | None) -> Self:
        """The problem on a fresh subset of the images, if subsets are used."""
        if key is None or self.subset is None:
            return self
        count = self.labels.shape[0]
        chosen = choose(key, count, self.subset)
        images, labels = self.images[chosen], self.labels[chosen]
        return self._replace(images=images, labels=labels, subset=None, weight=count / self.subset)

    def value(self, theta: Tree) -> Array:
        """L_in at theta."""
        pieces = zip(split(self.images, self.parts), split(self.labels, self.parts), strict=True)
        errors = [jnp.sum((y - self.f(theta, x)) ** 2) for x, y in pieces]
        decay = self.lam * optax.tree.norm(theta, squared=True)
        return 0.5 * (self.weight * total(errors) + decay) / (self.weight * self.labels.size)

    def value_and_gradient(self, theta: Tree) -> tuple[Array, Tree]:
        """L_in and its gradient at theta."""
        return jax.value_and_grad(self.value)(theta)

    def value_and_gradient_at_zero(self) -> tuple[Array, Tree]:
        """The same at theta = 0."""
        return self.value_and_gradient(self.zero)

    def hessian(self, theta: Tree) -> Callable[[Tree], Tree]:
        """``v -> H v`` at theta, the gradient linearized once."""
        product: Callable[[Tree], Tree] = jax.linearize(jax.grad(self.value), theta)[1]
        return product
