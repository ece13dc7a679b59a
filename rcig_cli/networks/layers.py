"""Two layers written so that their derivatives are fast on every platform.

``ActivatedPool``     a -> mean over 2x2 windows of activation(a)
``FirstConvolution``  x -> patches(x) kernel + bias

Both compute what the plain layers compute.  What differs is the shape of the program that XLA sees:

* The average pool of an activation is one operation with one derivative, ``mean(slope(a) * da)``.
  Left to itself, XLA evaluates the activation inside the pooling reduction (four times slower on a CPU),
  or writes the transpose of four strided slices as four padded arrays.
* A convolution of an image with one or three channels is a thin matrix product, and the patches it
  multiplies don't depend on the parameters: a linearised network keeps them, so that its products with
  the Jacobian are plain matrix products (two to three times faster on a CPU than the convolution).
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
    value=lambda a: jnp.maximum(a, 0) + jnp.log1p(jnp.exp(-SHARPNESS * jnp.abs(a))) / SHARPNESS,
    slope=lambda a: 0.5 + 0.5 * jnp.tanh(0.5 * SHARPNESS * a),
)
ACTIVATIONS = {"relu": RELU, "softplus": SOFTPLUS}


def windows(a: Array) -> Array:
    """Cut an array into 2x2 windows: ``[b, H, W, c]`` to ``[b, H//2, 2, W//2, 2, c]``, odd edges dropped."""
    b, height, width, c = a.shape
    even = a[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(b, height // 2, 2, width // 2, 2, c)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def activated_pool(activation: Activation, a: Array) -> Array:
    """Average an activation over 2x2 windows.

    Parameters
    ----------
    activation
        What is applied to each element before averaging.
    a
        Preactivations, ``[b, H, W, c]``.

    Returns
    -------
    Array
        ``[b, H//2, W//2, c]``.
    """
    w = windows(activation.value(a))
    return 0.25 * (w[:, :, 0, :, 0] + w[:, :, 0, :, 1] + w[:, :, 1, :, 0] + w[:, :, 1, :, 1])


@activated_pool.defjvp
def _activated_pool_jvp(
    activation: Activation, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    (a,), (da,) = primals, tangents
    return activated_pool(activation, a), windows(0.25 * activation.slope(a) * da).sum((2, 4))


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


class FirstConvolution(nn.Module):
    """A 3x3 convolution with bias of an image with few channels, as one matrix product.

    Attributes
    ----------
    features
        Channels of the output.
    padding
        Zeros added on each side, in pixels.
    """

    features: int
    padding: int = 1

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Convolve ``[b, H, W, c]`` to ``[b, H + 2 padding - 2, W + 2 padding - 2, features]``."""
        shape = (3, 3, images.shape[-1], self.features)
        kernel: Any = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias: Any = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        rows = patches(images, self.padding)
        flat = rows.reshape(-1, rows.shape[-1]) @ kernel.reshape(-1, self.features)
        return flat.reshape(*rows.shape[:3], self.features) + bias
