"""The block against the plain layers, and its derivatives against theirs, in float64."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rcig_cli.networks.layers import (
    ACTIVATIONS,
    SHARPNESS,
    activated_pool,
    convolution,
    convolve,
    from_patches,
    max_pool,
)
from tests.drawn import normal

pytestmark = pytest.mark.usefixtures("float64")

PLAIN = {
    "relu": nn.relu,
    "softplus": lambda a: nn.softplus(SHARPNESS * a) / SHARPNESS,
}


@pytest.fixture(params=[(2, 6, 6, 3), (1, 7, 5, 4), (3, 2, 9, 1)], ids=str)
def arguments(request):
    shape = request.param
    return normal(0, *shape), normal(1, shape[-1])


@pytest.fixture(params=["relu", "softplus"])
def pair(request):
    activation, plain = ACTIVATIONS[request.param], PLAIN[request.param]

    def ours(a, bias):
        return activated_pool(activation, a, bias)

    def theirs(a, bias):
        return nn.avg_pool(plain(a + bias), (2, 2), (2, 2))

    return ours, theirs


def test_activated_pool_is_the_average_pool_of_the_activation(pair, arguments):
    ours, theirs = (jax.jit(function)(*arguments) for function in pair)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_its_forward_derivative(pair, arguments):
    tangents = normal(2, *arguments[0].shape), normal(3, *arguments[1].shape)
    derivatives = (jax.jit(partial(jax.jvp, function)) for function in pair)
    ours, theirs = (derivative(arguments, tangents)[1] for derivative in derivatives)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_its_reverse_derivative(pair, arguments):
    cotangent = normal(4, *jax.eval_shape(pair[0], *arguments).shape)

    def backward(function):
        return jax.jit(lambda a, bias: jax.vjp(function, a, bias)[1](cotangent))

    ours, theirs = (backward(function)(*arguments) for function in pair)
    for mine, plain in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-9, atol=1e-12)


def test_the_derivative_of_its_derivative(pair, arguments):
    tangents = normal(2, *arguments[0].shape), normal(3, *arguments[1].shape)

    def along(function):
        return jax.jit(jax.grad(lambda a, b: jnp.sum(jax.jvp(function, (a, b), tangents)[1] ** 2), (0, 1)))

    for mine, plain in zip(along(pair[0])(*arguments), along(pair[1])(*arguments), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-7, atol=1e-10)


def test_softplus_keeps_its_value_and_slope_far_from_zero():
    a = jnp.array([-50.0, -1.0, 1.0, 50.0])
    activation = ACTIVATIONS["softplus"]
    np.testing.assert_allclose(activation.value(a), [0, 0, 1, 50], atol=1e-12)
    np.testing.assert_allclose(activation.slope(a), [0, 0, 1, 1], atol=1e-12)


@pytest.mark.parametrize(
    "form",
    [(4, 3, 1, 5), (5, 3, 2, 5), (4, 3, 2, 5), (4, 5, 1, 1), (5, 1, 2, 5), (2, 3, 1, 5), (5, 3, 1, 3)],
    ids=str,
)
def test_both_ways_of_computing_a_convolution_agree(form):
    size, side, stride, channels = form
    x, kernel = normal(0, 2, size, size + 1, channels), normal(1, side, side, channels, 4)
    expected = convolution(x, kernel, side // 2, stride)
    for way in (from_patches, convolve):
        ours = jax.jit(lambda x, kernel, way=way: way(x, kernel, side // 2, stride))(x, kernel)
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)


def test_a_max_pool_and_its_derivative():
    a = normal(0, 2, 7, 5, 3)
    np.testing.assert_array_equal(max_pool(a), nn.max_pool(a, (2, 2), (2, 2)))
    cotangent = normal(1, 2, 3, 2, 3)
    (ours,), (theirs,) = (
        jax.jit(lambda a, pool=pool: jax.vjp(pool, a)[1](cotangent))(a)
        for pool in (max_pool, lambda a: nn.max_pool(a, (2, 2), (2, 2)))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
