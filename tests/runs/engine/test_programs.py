"""Programs compute what a single one does, and what is repeated is compiled once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.distillation.platform import Platform
from rcig_cli.runs.engine import programs
from rcig_cli.runs.engine.programs import Programs, repeated

PLATFORM = Platform(unroll=True, parts=2, piece=2, repeated=repeated)


@pytest.fixture
def compiled(monkeypatch):
    """The programs that a test compiles, by their text."""
    found = {}
    monkeypatch.setattr(programs, "_COMPILED", found)
    return found


def solve(state, images):
    """A loop and a sum between other operations, with a literal, and outputs that nothing uses."""
    weight, scale = state

    def body(carry):
        x, count = carry
        return (jnp.tanh(weight @ x) + scale, count + 1), (x.sum(), x.max())

    start = images.sum(0) * scale, 0
    (x, count), (sums, _) = PLATFORM.repeat(5, body, start)
    pieces = [(images[i : i + 2],) for i in range(0, 7, 2)]  # the last has one row
    total = PLATFORM.sum_in_turn(lambda piece: {"squares": (piece**2).sum(0)}, pieces)
    return {"x": x, "count": count, "sums": sums, **total, "weight": weight}


def arguments():
    keys = jax.random.split(jax.random.key(0), 3)
    weight, images = jax.random.normal(keys[0], (3, 3)), jax.random.normal(keys[1], (7, 3))
    return (weight, jax.random.normal(keys[2], ())), images


def test_several_programs_compute_what_one_does(compiled):
    several = Programs(solve)
    assert several.compile(*arguments()) > 0
    ours, expected = several(*arguments()), jax.jit(solve)(*arguments())
    assert ours.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(ours[name], expected[name], rtol=1e-6, err_msg=name)


def test_the_body_of_a_loop_is_compiled_once_however_often_it_runs(compiled):
    def loop(steps):
        return Programs(lambda x: PLATFORM.repeat(steps, lambda x: (jnp.sin(x), None), x)[0])

    loop(3)(jnp.ones(4))
    few = len(compiled)
    loop(30)(jnp.ones(4))
    assert len(compiled) == few


def test_other_shapes_are_compiled_anew(compiled):
    several = Programs(lambda x: PLATFORM.repeat(2, lambda x: (2 * x, None), x)[0])
    np.testing.assert_array_equal(several(jnp.ones(3)), 4 * np.ones(3))
    np.testing.assert_array_equal(several(jnp.ones((2, 2))), 4 * np.ones((2, 2)))


def test_constants_of_a_function_are_told_apart(compiled):
    def add(value):
        constant = np.full(5, value, np.float32)
        return Programs(lambda x: PLATFORM.repeat(2, lambda x: (x + constant, None), x)[0])

    np.testing.assert_array_equal(add(1)(jnp.zeros(5)), 2 * np.ones(5))
    np.testing.assert_array_equal(add(3)(jnp.zeros(5)), 6 * np.ones(5))


def test_numbers_of_64_bits_keep_their_precision(compiled):
    def solve(x):
        with jax.enable_x64(True):
            wide = PLATFORM.repeat(3, lambda x: (x + 1e-12, None), x.astype(jnp.float64))[0]
            return ((wide - 1) * 1e12).astype(jnp.float32)

    np.testing.assert_allclose(Programs(solve)(jnp.ones(3)), 3 * np.ones(3), rtol=1e-3)
