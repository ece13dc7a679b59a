"""Solving with the feature kernel in float64 while all else is float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.bilevel.inner import inner_problem, solve_through
from rcig_cli.distillation.bilevel.linearized import Linearized

LAM = 1e-3


def ill_conditioned():
    """Few large features for many images: A's condition number is about 1e9."""
    keys = jax.random.split(jax.random.key(0), 3)
    h = 300 * jax.random.normal(keys[0], (13, 5))
    labels, rhs = jax.random.normal(keys[1], (13, 3)), jax.random.normal(keys[2], (13, 3))
    return Linearized(h, product=None, transposed=None), labels, rhs


def exact(h, rhs):
    h = np.asarray(h, np.float64)
    return np.linalg.solve(h @ h.T + LAM * np.eye(len(h)), np.asarray(rhs, np.float64))


def error(found, h, rhs):
    expected = exact(h, rhs)
    return float(np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected))


def test_float64_solves_what_float32_cannot():
    J, labels, rhs = ill_conditioned()
    narrow = jax.jit(lambda: inner_problem(J, labels, LAM).solve(rhs))()
    float64 = jax.jit(lambda: inner_problem(J, labels, LAM, float64=True).solve(rhs))()
    assert float64.dtype == rhs.dtype == jnp.float32
    assert error(float64, J.features, rhs) < 1e-5
    assert not error(narrow, J.features, rhs) < 1e-2  # also where it is not a number


def test_float64_stays_inside_the_solve():
    J, labels, rhs = ill_conditioned()
    problem = inner_problem(J, labels, LAM, float64=True)
    assert problem.factor.dtype == jnp.dtype("float64")
    gradient = jax.grad(lambda h, b: jnp.vdot(labels, solve_through(problem, h, b)), (0, 1))
    for leaf in jax.jit(gradient)(J.features, rhs):
        assert leaf.dtype == jnp.float32
        assert bool(jnp.isfinite(leaf).all())


@pytest.mark.usefixtures("float64")
def test_the_gradient_through_a_wide_solve_is_that_of_the_solution():
    J, labels, rhs = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), ill_conditioned())
    J = J._replace(features=J.features / 300)
    problem = inner_problem(J, labels, LAM, float64=True)
    ours = jax.grad(lambda h: jnp.vdot(labels, solve_through(problem, h, rhs)))(J.features)

    def plain(h):
        return jnp.vdot(labels, jnp.linalg.solve(h @ h.T + LAM * jnp.eye(len(h)), rhs))

    np.testing.assert_allclose(ours, jax.grad(plain)(J.features), rtol=1e-6)
