"""The ConvNet's block, written so that its derivatives are fast on every platform.

    block(x) = mean over 2x2 windows of activation( x * kernel + bias )

It computes what the plain layers compute.  What differs is the shape of the program that XLA sees:

* Bias, activation and pool are one operation with one derivative, ``mean(slope da) + mean(slope) dbias``.
  Left to itself, XLA on a CPU evaluates the activation anew inside whatever transposes or reduces the
  pooled map, and sums a bias's gradient over four times as many numbers, slowly.
* A convolution of an image with one or three channels is a thin matrix product, and the patches it multiplies
  don't depend on the parameters: a linearised network keeps them, so that its products with the Jacobian are
  plain matrix products (two to three times faster on a CPU than the convolution).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array


class Activation(NamedTuple):
    """An activation function and its derivative, both elementwise."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


SHARPNESS = 60.0  # of the softplus that stands for a ReLU while distilling (paper, S3)

RELU = Activation(value=jax.nn.relu, slope=lambda a: (a > 0).astype(a.dtype))
SOFTPLUS = Activation(
    value=lambda a: jnp.maximum(a, 0) + jnp.log(1 + jnp.exp(-SHARPNESS * jnp.abs(a))) / SHARPNESS,
    slope=lambda a: 0.5 + 0.5 * jnp.tanh(0.5 * SHARPNESS * a),
)
ACTIVATIONS = {"relu": RELU, "softplus": SOFTPLUS}

THIN = 3  # channels up to which a convolution is better computed from patches


def windows(a: Array) -> Array:
    """Cut an array into 2x2 windows: ``[b, H, W, c]`` to ``[b, H//2, 2, W//2, 2, c]``, odd edges dropped."""
    b, height, width, c = a.shape
    even = a[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(b, height // 2, 2, width // 2, 2, c)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def activated_pool(activation: Activation, a: Array, bias: Array) -> Array:
    """Add a bias, apply an activation, average over 2x2 windows.

    Parameters
    ----------
    activation
        What is applied to each element.
    a
        What a convolution gave, ``[b, H, W, c]``.
    bias
        ``[c]``.

    Returns
    -------
    Array
        ``[b, H//2, W//2, c]``.
    """
    return 0.25 * _window_sums(activation.value(a + bias))


@activated_pool.defjvp
def _activated_pool_jvp(
    activation: Activation, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    (a, bias), (da, dbias) = primals, tangents
    slope = 0.25 * activation.slope(a + bias)
    change = windows(slope * da).sum((2, 4)) + _window_sums(slope) * dbias
    return activated_pool(activation, a, bias), change


def _window_sums(a: Array) -> Array:
    """Sum over 2x2 windows; as a reduce_window, which XLA doesn't compute anew for each of its users."""
    sums: Array = jax.lax.reduce_window(a, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return sums


def patches(images: Array, padding: int) -> Array:
    """Every 3x3 neighbourhood of an image as a row.

    Parameters
    ----------
    images
        ``[b, H, W, c]``.
    padding
        Zeros added on each side, in pixels.

    Returns
    -------
    Array
        ``[b, H + 2 padding - 2, W + 2 padding - 2, 9 c]``, ordered as a 3x3 kernel's ``[3, 3, c]``.
    """
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


class Statistics(NamedTuple):
    """Whose statistics a batch norm divides by.

    Attributes
    ----------
    own
        Those of the batch at hand, rather than the running ones.
    momentum
        What is left of the running ones after each batch that is seen with its own.
    """

    own: bool
    momentum: float = 0.9


RUNNING, TRAINING = Statistics(own=False), Statistics(own=True)
THOSE_SEEN = Statistics(own=True, momentum=0.0)


class Block(nn.Module):
    """A 3x3 convolution with bias, a norm, an activation and a 2x2 average pool.

    Attributes
    ----------
    features
        Channels of the output.
    padding
        Zeros added on each side before the convolution, in pixels.
    activation
        One of `ACTIVATIONS`, by name.
    normalization
        ``"none"`` or ``"batch"`` (eps 1e-5; what is running is kept in ``batch_stats``).
    statistics
        What a batch norm divides by.
    """

    features: int
    padding: int
    activation: str
    normalization: str = "none"
    statistics: Statistics = RUNNING

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map ``[b, H, W, c]`` to ``[b, H', W', features]``, with ``H' = (H + 2 padding - 2) // 2``."""
        shape = (3, 3, x.shape[-1], self.features)
        kernel: Any = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias: Any = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        convolve = thin_convolution if x.shape[-1] <= THIN else convolution
        a = convolve(x, kernel, self.padding)
        if self.normalization == "batch":
            norm = nn.BatchNorm(not self.statistics.own, epsilon=1e-5, momentum=self.statistics.momentum)
            a, bias = norm(a + bias), jnp.zeros_like(bias)
        return activated_pool(ACTIVATIONS[self.activation], a, bias)


def convolution(x: Array, kernel: Array, padding: int) -> Array:
    """3x3 convolution of ``[b, H, W, c]`` with ``[3, 3, c, f]``: ``[b, H', W', f]``."""
    pads = ((padding, padding), (padding, padding))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def thin_convolution(x: Array, kernel: Array, padding: int) -> Array:
    """Compute `convolution` as one matrix product with the patches of ``x``."""
    rows = patches(x, padding)
    flat = rows.reshape(-1, rows.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return flat.reshape(*rows.shape[:3], -1)
