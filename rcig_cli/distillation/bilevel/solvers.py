"""The two solves of an outer step, each by Adam (the paper's) or by conjugate gradients.

    theta = argmin L_in              v = H^-1 g = argmin <v, H v - 2 g>        (paper, equation 7)

Conjugate gradients work in the dual, n C numbers instead of all parameters, preconditioned by A^-1:

    theta   = J_S^T beta,                         (A (x) I_C + J_S J_S^T) beta = y_S
    v       = ( g - J_S^T beta ) / s,             (A (x) I_C + J_S J_S^T) beta = J_S g

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
        The quantity that each iteration should reduce: the loss for Adam, the squared norm of the
        preconditioned residual for conjugate gradients; ``[steps]``.
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
    """Minimize L_in by ``steps`` of conjugate gradients in the dual."""
    return Solution(*_conjugate_gradients(problem, problem.labels, steps, platform))


def hessian_by_cg(problem: Quadratic, g: Tree, steps: int, platform: Platform) -> Solution:
    """``H^-1 g`` by ``steps`` of conjugate gradients in the dual."""
    pulled, progress = _conjugate_gradients(problem, problem.J.product(g), steps, platform)
    return Solution(jax.tree.map(lambda a, b: (a - b) / problem.scale, g, pulled), progress)


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


def _conjugate_gradients(
    problem: Quadratic, rhs: Array, steps: int, platform: Platform
) -> tuple[Tree, Array]:
    """Solve the dual system from zero; return J_S^T beta, and <r, A^-1 r> before each iteration.

    Each iteration computes J_S^T of its direction anyway; adding these up saves another product at the end.
    """
    State = tuple[Tree, Array, Array, Array]

    def body(state: State) -> tuple[State, Array]:
        pulled, residual, direction, energy = state
        image, pulled_direction = problem.dual_product(direction)
        length = _ratio(energy, jnp.vdot(direction, image))
        pulled = jax.tree.map(lambda a, b: a + length * b, pulled, pulled_direction)
        residual = residual - length * image
        preconditioned = problem.A.solve(residual)
        new_energy = jnp.vdot(residual, preconditioned)
        direction = preconditioned + _ratio(new_energy, energy) * direction
        return (pulled, residual, direction, new_energy), energy

    direction = problem.A.solve(rhs)
    shapes = jax.eval_shape(problem.J.transposed, rhs)
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    start = zero, rhs, direction, jnp.vdot(rhs, direction)
    (pulled, *_), progress = platform.repeat(steps, body, start)
    return pulled, progress


def _ratio(a: Array, b: Array) -> Array:
    """Return a/b, or 0 where b is 0: a solve that has converged does not change."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
