"""Solving with the feature kernel in float64 while all else is float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.bilevel.feature_kernel import feature_kernel
from tests.drawn import normal

LAM = 1e-3


def ill_conditioned():
    """Few large features for many images: A's condition number is about 1e9."""
    sizes = ((13, 5), (13, 3), (13, 3))
    h, labels, rhs = (normal(seed, *size, dtype=np.float32) for seed, size in enumerate(sizes))
    return 300 * h, labels, rhs


def exact(h, rhs):
    h = np.asarray(h, np.float64)
    return np.linalg.solve(h @ h.T + LAM * np.eye(len(h)), np.asarray(rhs, np.float64))


def error(found, h, rhs):
    expected = exact(h, rhs)
    return float(np.linalg.norm(np.asarray(found, np.float64) - expected) / np.linalg.norm(expected))


def test_float64_solves_what_float32_cannot():
    h, _, rhs = ill_conditioned()
    narrow = jax.jit(lambda: feature_kernel(h, LAM).solve(rhs))()
    float64 = jax.jit(lambda: feature_kernel(h, LAM, float64=True).solve(rhs))()
    assert float64.dtype == rhs.dtype == jnp.float32
    assert error(float64, h, rhs) < 1e-5
    assert not error(narrow, h, rhs) < 1e-2  # also where it is not a number


def test_float64_stays_inside_the_solve():
    h, labels, rhs = ill_conditioned()
    A = feature_kernel(h, LAM, float64=True)
    assert A.factor.dtype == jnp.dtype("float64")
    gradient = jax.grad(lambda h, b: jnp.vdot(labels, A.solve_through(h, b)), (0, 1))
    for leaf in jax.jit(gradient)(h, rhs):
        assert leaf.dtype == jnp.float32
        assert bool(jnp.isfinite(leaf).all())


@pytest.mark.usefixtures("float64")
def test_the_gradient_through_a_wide_solve_is_that_of_the_solution():
    h, labels, rhs = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), ill_conditioned())
    h = h / 300
    A = feature_kernel(h, LAM, float64=True)
    ours = jax.jit(jax.grad(lambda h: jnp.vdot(labels, A.solve_through(h, rhs))))(h)

    def plain(h):
        return jnp.vdot(labels, jnp.linalg.solve(h @ h.T + LAM * jnp.eye(len(h)), rhs))

    np.testing.assert_allclose(ours, jax.jit(jax.grad(plain))(h), rtol=1e-6)
