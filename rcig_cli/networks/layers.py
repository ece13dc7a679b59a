"""A block of a convolution, an activation and a pool, written so that its derivatives are fast on any device.

    block(x) = mean over 2x2 windows of activation( x * kernel + bias )

It computes the same as the standard layers, but XLA compiles a different program:

* Bias, activation and pool are one operation with one derivative, ``mean(slope da) + mean(slope) dbias``.
  Otherwise XLA on a CPU recomputes the activation inside every operation that transposes or reduces the
  pooled map, and sums the gradient of the bias over four times as many numbers.
* A convolution of an image with one or three channels is computed as a matrix product with the image's
  patches.  The patches don't depend on the parameters, so a linearized network keeps them, and its products
  with the Jacobian are matrix products (two to three times faster on a CPU than the convolution).
* A convolution of a map smaller than its kernel is computed from patches too: XLA on a CPU is fast for larger
  maps only (2x2 pixels, 512 channels, a 3x3 kernel: 950 ms, from patches 3 ms).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.networks.norms import RUNNING, Statistics, norm_layer


class Activation(NamedTuple):
    """An activation function and its derivative, both elementwise."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]


SHARPNESS = 60.0  # of the softplus that replaces the ReLU in distillation (paper, S3)

RELU = Activation(value=jax.nn.relu, slope=lambda a: (a > 0).astype(a.dtype))
SOFTPLUS = Activation(
    value=lambda a: jnp.maximum(a, 0) + jnp.log(1 + jnp.exp(-SHARPNESS * jnp.abs(a))) / SHARPNESS,
    slope=lambda a: 0.5 + 0.5 * jnp.tanh(0.5 * SHARPNESS * a),
)
ACTIVATIONS = {"relu": RELU, "softplus": SOFTPLUS}

THIN = 27  # largest number of values in a patch for which a convolution is computed from patches


def grey_padding(images: Array) -> int:
    """Extra zero padding on each side in a network's first convolution, in pixels: 2 for grey images.

    It enlarges 28 pixels to 32, so that all maps have the sizes that they have for colour images.
    """
    return 2 if images.shape[-1] == 1 else 0


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
        Applied to each element.
    a
        Output of a convolution, ``[b, H, W, c]``.
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
    """Sum over 2x2 windows; as a reduce_window, which XLA doesn't recompute for each of its users."""
    sums: Array = jax.lax.reduce_window(a, 0.0, jax.lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return sums


def max_pool(a: Array) -> Array:
    """Largest of each 2x2 window: ``[b, H, W, c]`` to ``[b, H//2, W//2, c]``.

    Its derivative goes to the chosen entries.  The derivative of jnp.max divides by the number of entries
    equal to the maximum, which is 0 where XLA recomputes the map with other rounding.  (The derivative of a
    reduce_window is ten times slower on a CPU.)
    """
    cut = windows(a)
    rows = _larger(cut[:, :, 0], cut[:, :, 1])
    return _larger(rows[..., 0, :], rows[..., 1, :])


def _larger(x: Array, y: Array) -> Array:
    return jnp.where(x >= y, x, y)


def patches(images: Array, padding: int, side: int = 3) -> Array:
    """Return every square neighbourhood of an image as a row.

    Parameters
    ----------
    images
        ``[b, H, W, c]``.
    padding
        Zeros added on each side, in pixels.
    side
        Of the neighbourhood, k, in pixels.

    Returns
    -------
    Array
        ``[b, H + 2 padding + 1 - k, W + 2 padding + 1 - k, k^2 c]``, ordered as a kernel's ``[k, k, c]``.
    """
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    height, width = padded.shape[1] + 1 - side, padded.shape[2] + 1 - side
    rows = jnp.concatenate([padded[:, :, j : j + width] for j in range(side)], axis=-1)
    return jnp.concatenate([rows[:, i : i + height] for i in range(side)], axis=-1)


class Convolution(nn.Module):
    """A convolution.

    Attributes
    ----------
    features
        Channels of the output.
    padding
        Zeros added on each side, in pixels.
    bias
        Whether it has a bias.
    side, stride
        Of its kernel, in pixels.
    """

    features: int
    padding: int
    bias: bool
    side: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map ``[b, H, W, c]`` to ``[b, H', W', features]``, as `convolve` does."""
        shape = (self.side, self.side, x.shape[-1], self.features)
        kernel: Any = self.param("kernel", nn.initializers.lecun_normal(), shape)
        a = convolve(x, kernel, self.padding, self.stride)
        if not self.bias:
            return a
        bias: Array = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return a + bias


class Block(nn.Module):
    """A convolution with bias, a norm, an activation and a pool.

    Attributes
    ----------
    features
        Channels of the output.
    padding
        Zeros added on each side before the convolution, in pixels.
    activation
        One of `ACTIVATIONS`, by name.
    norm, statistics
        See `norms.norm_layer`.
    pool
        Over 2x2 windows: ``"average"``, ``"max"`` or ``"none"``.
    side
        Of the convolution's kernel, in pixels.
    """

    features: int
    padding: int
    activation: str
    norm: str = "none"
    statistics: Statistics = RUNNING
    pool: str = "average"
    side: int = 3

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map ``[b, H, W, c]`` to ``[b, H', W', features]``: H + 2 padding + 1 - side, halved by a pool."""
        shape = (self.side, self.side, x.shape[-1], self.features)
        kernel: Any = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias: Any = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        a = convolve(x, kernel, self.padding)
        if self.norm != "none":
            a, bias = norm_layer(self.norm, self.statistics)(a + bias), jnp.zeros_like(bias)
        activation = ACTIVATIONS[self.activation]
        if self.pool == "average":
            return activated_pool(activation, a, bias)
        # Activations are monotonic, so they may be applied after the max pool, to a quarter of the values.
        return activation.value((max_pool(a) if self.pool == "max" else a) + bias)


def convolve(x: Array, kernel: Array, padding: int, stride: int = 1) -> Array:
    """Convolve, by the faster of the two methods below.

    Parameters
    ----------
    x
        ``[b, H, W, c]``.
    kernel
        ``[k, k, c, f]``.
    padding
        Zeros added on each side, in pixels.
    stride
        Of the kernel, in pixels.

    Returns
    -------
    Array
        ``[b, H', W', f]``, ``H' = (H + 2 padding - k) // stride + 1``.
    """
    side = kernel.shape[0]
    thin = x.shape[-1] * side**2 <= THIN
    small = (min(x.shape[1:3]) + 2 * padding - side) // stride + 1 < side
    return (from_patches if thin or small else convolution)(x, kernel, padding, stride)


def convolution(x: Array, kernel: Array, padding: int, stride: int = 1) -> Array:
    """Compute `convolve` as XLA's own operation."""
    pads = ((padding, padding), (padding, padding))
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), pads, dimension_numbers=numbers)


def from_patches(x: Array, kernel: Array, padding: int, stride: int = 1) -> Array:
    """Compute `convolve` as one matrix product with the patches of ``x``."""
    rows = patches(x, padding, kernel.shape[0])
    if stride > 1:
        rows = rows[:, ::stride, ::stride]
    flat = rows.reshape(-1, rows.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1])
    return flat.reshape(*rows.shape[:3], -1)
