"""The two solves of an outer step, each by Adam (the paper's) or by conjugate gradients.

    theta = argmin L_in              v = H^-1 g = argmin <v, H v - 2 g>        (paper, equation 7)

Conjugate gradients solve the equations of both minima, divided by s:

    (I + J_S^T A^-1 J_S) theta = J_S^T A^-1 y_S
    (I + J_S^T A^-1 J_S) v     = g / s

They minimize L_in, and <v, H v - 2 g>, over a space that grows by a dimension with each iteration, so that no
iteration makes these larger.

No solve starts from a product with zeros known at compile time: the first residual is the right-hand side.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.bilevel.inner import InnerProblem, Quadratic
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree


class Solution(NamedTuple):
    """The result of a solve.

    Attributes
    ----------
    value
        theta or v.
    progress
        Before each iteration, the loss for Adam, or for conjugate gradients the squared norm of the residual,
        which need not fall every time; ``[steps]``.
    """

    value: Tree
    progress: Array

    @property
    def monotone(self) -> Array:
        """Whether progress fell at every iteration."""
        return jnp.all(jnp.diff(self.progress) <= 0) & jnp.isfinite(self.progress[-1])

    @property
    def diverged(self) -> Array:
        """Whether progress ended above where it began, or is not a number."""
        return ~(self.progress[-1] <= self.progress[0])


def no_iterations(like: Tree) -> Solution:
    """Zero, in the structure of ``like``: a solve of no iterations.

    A product with 0: XLA on a CPU miscompiles zeros known at compile time (runs/engine/environment.py).
    """
    return Solution(optax.tree.scale(0.0, like), jnp.ones(1))


def inner_by_adam(
    problem: InnerProblem, rate: Array, steps: int, platform: Platform, key: Array | None = None
) -> Solution:
    """Minimize L_in from theta = 0 in ``steps`` of Adam.

    With a ``key``, each gradient goes through a subset of the images drawn for it, if the problem has one.
    """
    key_zero, key = _fresh(key)

    def value_and_gradient(theta: Tree, key: Array | None) -> tuple[Array, Tree]:
        return problem.with_new_subset(key).value_and_gradient(theta)

    at_zero = problem.with_new_subset(key_zero).value_and_gradient_at_zero()
    return _adam(at_zero, value_and_gradient, rate, steps, platform, key)


def hessian_by_adam(
    problem: InnerProblem,
    at: tuple[Tree, Tree],
    rate: Array,
    steps: int,
    platform: Platform,
    key: Array | None = None,
) -> Solution:
    """Minimize <v, H v - 2 g> from v = 0 in ``steps`` of Adam; ``at`` is theta, where H is taken, and g."""
    theta, g = at
    hessian = problem.hessian(theta)

    def value_and_gradient_of_v(v: Tree, key: Array | None) -> tuple[Array, Tree]:
        Hv = hessian(v) if key is None else problem.with_new_subset(key).hessian(theta)(v)
        return optax.tree.vdot(v, optax.tree.sub(Hv, optax.tree.scale(2, g))), optax.tree.sub(Hv, g)

    at_zero = jnp.zeros_like(rate), optax.tree.scale(-1, g)
    return _adam(at_zero, value_and_gradient_of_v, rate, steps, platform, key)


def inner_by_cg(problem: Quadratic, steps: int, platform: Platform) -> Solution:
    """Minimize L_in by ``steps`` of conjugate gradients from theta = 0."""
    rhs = problem.J.transposed(problem.A.solve(problem.labels))
    return _conjugate_gradients(problem, rhs, steps, platform)


def hessian_by_cg(problem: Quadratic, g: Tree, steps: int, platform: Platform) -> Solution:
    """``H^-1 g`` by ``steps`` of conjugate gradients from v = 0."""
    return _conjugate_gradients(problem, optax.tree.scale(1 / problem.scale, g), steps, platform)


def _adam(
    at_zero: tuple[Array, Tree],
    value_and_gradient_of: Callable[[Tree, Array | None], tuple[Array, Tree]],
    rate: Array,
    steps: int,
    platform: Platform,
    key: Array | None,
) -> Solution:
    """Adam from zero, where value and gradient are known."""
    Carry = tuple[Tree, optax.OptState, Array | None]
    adam = optax.scale_by_adam()
    value, gradient = at_zero

    def move(x: Tree, state: optax.OptState, gradient: Tree) -> tuple[Tree, optax.OptState]:
        update, state = adam.update(gradient, state)
        return jax.tree.map(lambda a, u: a - rate * u, x, update), state

    def body(carry: Carry) -> tuple[Carry, Array]:
        x, state, key = carry
        key_now, key = _fresh(key)
        value, gradient = value_and_gradient_of(x, key_now)
        return (*move(x, state, gradient), key), value

    zero = optax.tree.zeros_like(gradient)
    first = move(zero, adam.init(zero), gradient)
    if steps == 1:
        return Solution(first[0], value[None])
    (x, _, _), values = platform.repeat(steps - 1, body, (*first, key))
    return Solution(x, jnp.concatenate([value[None], values]))


def _fresh(key: Array | None) -> tuple[Array | None, Array | None]:
    """Split a key into one to use now and one for later; None gives None."""
    if key is None:
        return None, None
    now, later = jax.random.split(key)
    return now, later


def _conjugate_gradients(problem: Quadratic, rhs: Tree, steps: int, platform: Platform) -> Solution:
    """Solve ``(I + J_S^T A^-1 J_S) x = rhs`` from zero by ``steps`` iterations, at least one."""
    State = tuple[Tree, Tree, Tree, Array, Array, Array]

    def move(x: Tree, direction: Tree, energy: Array) -> tuple[Tree, Array, Array]:
        """Go along the direction to the minimum; also return the length, and A^-1 J_S direction."""
        image = problem.J.product(direction)
        alpha = problem.A.solve(image)
        curvature = optax.tree.norm(direction, squared=True) + jnp.vdot(image, alpha)
        length = _ratio(energy, curvature)
        return jax.tree.map(lambda a, d: a + length * d, x, direction), length, alpha

    def body(state: State) -> tuple[State, Array]:
        x, residual, direction, energy, length, alpha = state
        pulled = problem.J.transposed(alpha)
        residual = jax.tree.map(lambda r, d, p: r - length * (d + p), residual, direction, pulled)
        new_energy = optax.tree.norm(residual, squared=True)
        share = _ratio(new_energy, energy)
        direction = jax.tree.map(lambda r, d: r + share * d, residual, direction)
        x, length, alpha = move(x, direction, new_energy)
        return (x, residual, direction, new_energy, length, alpha), new_energy

    energy = optax.tree.norm(rhs, squared=True)
    x, length, alpha = move(optax.tree.zeros_like(rhs), rhs, energy)
    if steps == 1:
        return Solution(x, energy[None])
    start = x, rhs, rhs, energy, length, alpha
    last, energies = platform.repeat(steps - 1, body, start)
    return Solution(last[0], jnp.concatenate([energy[None], energies]))


def _ratio(a: Array, b: Array) -> Array:
    """Return a/b, or 0 where b is 0: a solve that has converged does not change."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
