"""Augmentation: one random operation for each image and step.

`augment` is the augmentation of the paper's evaluation, `augment_by` one of operations chosen by name, which
may be the user's own (`rcig_cli.extensions`).

An operation is a pure function of a random key and an image ``[H, W, c]`` (floating point, standardized or
whitened), whose shape and type it keeps.  The colour operation computes

    x' = m + g * (x + b - m),       m the mean of x + b over the image,
    x'' = p + s * (x' - p),         p the mean of x' over the channels of a pixel,

with ``b ~ U(-1/4, 1/4)`` and ``log g, log s ~ U(-1/4, 1/4)``; zoom and rotation read the image
bilinearly at ``centre + M (position - centre)``.  Pixels from outside the image are 0, which is the
mean of standardized and of whitened data.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax, random
from jax.scipy.ndimage import map_coordinates

from rcig_cli.errors import ConfigError, shorten
from rcig_cli.extensions import describe, load

Operation = Callable[[jax.Array, jax.Array], jax.Array]

FLIP_PROBABILITY = 0.5
BRIGHTNESS = 0.25
LOG_CONTRAST = 0.25
LOG_SATURATION = 0.25
LARGEST_ZOOM = 1.25
LARGEST_ANGLE = 15.0
SHIFTS_PER_SIDE = 8
CUTOUTS_PER_SIDE = 4


def flip_horizontally(key: jax.Array, image: jax.Array) -> jax.Array:
    """Mirror left and right with probability 1/2."""
    return jnp.where(random.bernoulli(key, FLIP_PROBABILITY), image[:, ::-1], image)


def jitter_colour(key: jax.Array, image: jax.Array) -> jax.Array:
    """Change brightness, contrast and saturation at random; the mean changes by the brightness only."""
    brightness_key, contrast_key, saturation_key = random.split(key, 3)
    image = image + _symmetric(brightness_key, BRIGHTNESS, image.dtype)
    contrast = jnp.exp(_symmetric(contrast_key, LOG_CONTRAST, image.dtype))
    image = _spread(image, image.mean(), contrast)
    saturation = jnp.exp(_symmetric(saturation_key, LOG_SATURATION, image.dtype))
    return _spread(image, image.mean(axis=-1, keepdims=True), saturation)


def zoom(key: jax.Array, image: jax.Array) -> jax.Array:
    """Scale about the centre by 0.8 to 1.25; the logarithm of the factor is uniform."""
    factor = jnp.exp(_symmetric(key, math.log(LARGEST_ZOOM), image.dtype))
    return resample(image, jnp.eye(2, dtype=image.dtype) / factor)


def rotate(key: jax.Array, image: jax.Array) -> jax.Array:
    """Rotate about the centre by -15 to 15 degrees."""
    angle = _symmetric(key, math.radians(LARGEST_ANGLE), image.dtype)
    return resample(image, rotation(angle))


def translate(key: jax.Array, image: jax.Array) -> jax.Array:
    """Shift by whole pixels, up to an eighth of each side in each direction."""
    height, width, _ = image.shape
    reach = (height // SHIFTS_PER_SIDE, width // SHIFTS_PER_SIDE)
    corner = random.randint(key, (2,), 0, 2 * jnp.array(reach) + 1)
    padded = jnp.pad(image, ((reach[0], reach[0]), (reach[1], reach[1]), (0, 0)))
    return lax.dynamic_slice(padded, (*corner, 0), image.shape)


def cut_out(key: jax.Array, image: jax.Array) -> jax.Array:
    """Set one square to zero: a quarter of the shorter side wide, and at least one pixel."""
    height, width, _ = image.shape
    side = max(1, min(height, width) // CUTOUTS_PER_SIDE)
    top, left = random.randint(key, (2,), 0, jnp.array([height - side + 1, width - side + 1]))
    inside = jnp.outer(_within(height, top, side), _within(width, left, side))
    return jnp.where(inside[..., None], 0, image)


# By their names in settings.
_GEOMETRIC: Mapping[str, Operation] = {
    "crop": zoom,
    "rotate": rotate,
    "translate": translate,
    "cutout": cut_out,
}
OPERATIONS: Mapping[str, Operation] = {"flip": flip_horizontally, "colour": jitter_colour, **_GEOMETRIC}


def operations(channels: int) -> tuple[Operation, ...]:
    """Return the operations for images of 3 channels, or of 1, for which flip and colour are left out."""
    return tuple((_GEOMETRIC if channels == 1 else OPERATIONS).values())


def augment(key: jax.Array, images: jax.Array) -> jax.Array:
    """Apply one random operation to each image, all with the same probability.

    Parameters
    ----------
    key
        Random key.
    images
        ``[b, H, W, c]``, floating point, standardized or whitened.

    Returns
    -------
    jax.Array
        ``[b, H, W, c]``, in the type of ``images``.
    """
    batch, *_, channels = images.shape
    choice_key, draw_key = random.split(key)
    candidates = operations(channels)
    choices = random.randint(choice_key, (batch,), 0, len(candidates))

    # Under vmap a switch computes every branch: a few milliseconds for 256 images on two cores.
    # A loop over the images would be slow on a GPU.
    def one(choice: jax.Array, key: jax.Array, image: jax.Array) -> jax.Array:
        drawn: jax.Array = lax.switch(choice, candidates, key, image)
        return drawn

    augmented: jax.Array = jax.vmap(one)(choices, random.split(draw_key, batch), images)
    return augmented


def augment_one(key: jax.Array, image: jax.Array, names: Sequence[str]) -> jax.Array:
    """Apply one of some operations at random, all with the same probability.

    Parameters
    ----------
    key
        Random key.
    image
        ``[H, W, c]``, floating point, standardized or whitened.
    names
        Keys of `OPERATIONS`, or references to operations of the user's own; one or more.
    """
    choice_key, draw_key = random.split(key)
    choice = random.randint(choice_key, (), 0, len(names))
    augmented: jax.Array = lax.switch(choice, [operation(name) for name in names], draw_key, image)
    return augmented


def augment_by(key: jax.Array, images: jax.Array, names: Sequence[str]) -> jax.Array:
    """Apply `augment_one` to each of some images ``[b, H, W, c]``, with a key of its own."""
    keys = random.split(key, len(images))
    augmented: jax.Array = jax.vmap(lambda key, image: augment_one(key, image, names))(keys, images)
    return augmented


def operation(name: str) -> Operation:
    """Return an operation by its name, or import one of the user's own.

    Raises
    ------
    ConfigError
        If it can't be imported, or can't be called.
    """
    if name in OPERATIONS:
        return OPERATIONS[name]
    found: Operation = load("augmentation", name)
    if not callable(found):
        raise ConfigError(f"{name} is {shorten(found)}: expected a function (key, image) -> image.")
    return found


def check_operations(names: Sequence[str], shape: tuple[int, int, int]) -> None:
    """Import the operations that are the user's own, and check that they keep shape and type of an image.

    Raises
    ------
    ConfigError
        If one can't be imported, fails, or returns something else.
    """
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    for name in names:
        if name in OPERATIONS:
            continue
        function = operation(name)
        try:
            found = jax.eval_shape(function, random.key(0), image)
        except Exception as error:  # an operation may raise anything
            message = f"{name} fails for an image of the shape {shape}: {describe(error)}."
            raise ConfigError(f"{message} It is called as {name}(key, image).") from error
        kind = getattr(found, "shape", None), getattr(found, "dtype", None)
        if kind != (shape, jnp.float32):
            given = f"{kind[1]} {kind[0]}" if kind[0] is not None else type(found).__name__
            raise ConfigError(f"{name} must return an image like its own, float32 {shape}, not {given}.")


def rotation(angle: jax.Array) -> jax.Array:
    """Return the matrix ``[2, 2]`` with which `resample` rotates an image anticlockwise, by radians."""
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.array([[cosine, sine], [-sine, cosine]])


def resample(image: jax.Array, matrix: jax.Array) -> jax.Array:
    """Resample an image bilinearly by a linear map about its centre.

    Parameters
    ----------
    image
        ``[H, W, c]``, floating point.
    matrix
        ``[2, 2]``, from (row, column) of the result to (row, column) of the image, both counted in
        pixels from the centre.

    Returns
    -------
    jax.Array
        ``[H, W, c]``, zero where the map leads out of the image.
    """
    height, width, _ = image.shape
    middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
    rows = jnp.arange(height, dtype=image.dtype)[:, None] - middle_row
    columns = jnp.arange(width, dtype=image.dtype)[None, :] - middle_column
    source = [
        matrix[0, 0] * rows + matrix[0, 1] * columns + middle_row,
        matrix[1, 0] * rows + matrix[1, 1] * columns + middle_column,
    ]
    sample = partial(map_coordinates, coordinates=source, order=1)
    resampled: jax.Array = jax.vmap(sample, in_axes=-1, out_axes=-1)(image)
    return resampled


def _symmetric(key: jax.Array, bound: float, dtype: jnp.dtype) -> jax.Array:
    return random.uniform(key, (), dtype, -bound, bound)


def _spread(image: jax.Array, about: jax.Array, factor: jax.Array) -> jax.Array:
    return about + factor * (image - about)


def _within(length: int, start: jax.Array, extent: int) -> jax.Array:
    positions = jnp.arange(length)
    return (positions >= start) & (positions < start + extent)
