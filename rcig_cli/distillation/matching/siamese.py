"""Differentiable siamese augmentation.

Source: Zhao and Bilen, Dataset Condensation with Differentiable Siamese Augmentation, ICML 2021.

One random operation changes real and distilled images alike, and gradients pass through it.  An operation is
a function of a random key and an image ``[H, W, c]``, standardized or whitened; images with the same key are
changed alike.  The ranges are the published ones:

colour    brightness, saturation and contrast, one after the other:
          x' = x + b,  x'' = p + s (x' - p),  x''' = m + g (x'' - m)
          with b in [-1/2, 1/2], s in [0, 2], g in [1/2, 3/2],
          p the mean over the channels of a pixel, m the mean over the image
crop      shift by whole pixels, up to an eighth of the side (rounded) in each direction
cutout    a square of half the side, centred anywhere in the image
flip      mirror left and right with probability 1/2; only colour images
scale     each axis by 1/1.2 to 1.2
rotate    by -15 to 15 degrees

Pixels from outside the image, and those that are cut out, are 0.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax, random

from rcig_cli.augmentation import flip_horizontally, resample, rotate

Operation = Callable[[Array, Array], Array]

LARGEST_SCALE = 1.2
SHIFT, CUTOUT = 0.125, 0.5  # as fractions of the side


def colour(key: Array, image: Array) -> Array:
    """Change brightness, saturation and contrast."""
    brightness, saturation, contrast = random.uniform(key, (3,), image.dtype)
    image = image + (brightness - 0.5)
    of_pixel = image.mean(-1, keepdims=True)
    image = of_pixel + 2 * saturation * (image - of_pixel)
    return image.mean() + (contrast + 0.5) * (image - image.mean())


def crop(key: Array, image: Array) -> Array:
    """Shift by whole pixels."""
    reach = [int(SHIFT * side + 0.5) for side in image.shape[:2]]
    corner = random.randint(key, (2,), 0, 2 * jnp.array(reach) + 1)
    padded = jnp.pad(image, (*((by, by) for by in reach), (0, 0)))
    return lax.dynamic_slice(padded, (*corner, 0), image.shape)


def cutout(key: Array, image: Array) -> Array:
    """Set a square to zero, or as much of it as lies in the image."""
    sides = image.shape[:2]
    centres = random.randint(key, (2,), 0, jnp.array(sides) + 1)

    def inside(side: int, centre: Array) -> Array:
        extent = int(CUTOUT * side + 0.5)
        positions, start = jnp.arange(side), centre - extent // 2
        return (positions >= start) & (positions < start + extent)

    rows, columns = map(inside, sides, centres)
    return jnp.where(jnp.outer(rows, columns)[..., None], 0, image)


def scale(key: Array, image: Array) -> Array:
    """Scale both axes about the centre, each by its own factor."""
    factors = random.uniform(key, (2,), image.dtype, 1 / LARGEST_SCALE, LARGEST_SCALE)
    return resample(image, jnp.diag(factors))


def operations(channels: int) -> tuple[Operation, ...]:
    """Return the operations for images with so many channels."""
    return (colour, crop, cutout, scale, rotate, *((flip_horizontally,) if channels == 3 else ()))


def augment_each(key: Array, images: Array) -> Array:
    """Apply one random operation to all images ``[b, H, W, c]`` of a batch, with its own draws for each."""
    candidates = operations(images.shape[-1])
    choice, draw = random.split(key)
    at = random.randint(choice, (), 0, len(candidates))
    branches = [jax.vmap(operation) for operation in candidates]
    changed: Array = lax.switch(at, branches, random.split(draw, len(images)), images)
    return changed


def augment_alike(keys: Array, images: Array) -> Array:
    """Apply one random operation to each image, the same to images with the same key.

    Parameters
    ----------
    keys
        A key for each image, ``[b]``.
    images
        ``[b, H, W, c]``.

    Returns
    -------
    Array
        ``[b, H, W, c]``.
    """
    candidates = operations(images.shape[-1])

    def one(key: Array, image: Array) -> Array:
        choice, draw = random.split(key)
        at = random.randint(choice, (), 0, len(candidates))
        changed: Array = lax.switch(at, candidates, draw, image)
        return changed

    augmented: Array = jax.vmap(one)(keys, images)
    return augmented
