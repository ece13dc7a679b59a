"""Random draws of each outer step, which depend only on the seed and the step.

key(use)  = fold_in(key(seed), use)
key(step) = fold_in(key(use = steps), step), split once into named keys, each used once; with several pool
            models per step, each has its own
key(augmentation of the i-th real image of a step) = fold_in(fold_in(key(use = augmentation), step), i)
the e-th epoch's order of the real images = permutation(fold_in(key(use = data), e)); where a step has as
            many of each class, the key is split once into a key for each class
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array

_NOISE = 0.1  # of the copies of an image, as a fraction of the standard deviation of the images


class Use(IntEnum):
    """What a key of the run is used for."""

    FIRST_IMAGES = 0
    POOL = 1
    DATA = 2
    STEPS = 3
    MORE_MODELS = 4
    TUNING = 5
    COPIES = 6
    AUGMENTATION = 7
    EXPERTS = 8


class Draws(NamedTuple):
    """The draws of one outer step for one pool model.

    Attributes
    ----------
    model
        Which pool model to linearize at, ``[]``.
    training_steps
        Steps of ordinary training that it gets afterwards, ``[]``.
    fresh
        Key of the model that may replace it.
    subsets, training_subsets
        Keys for subsets of the distilled images, in the meta-gradient and in the training.
    """

    model: Array
    training_steps: Array
    fresh: Array
    subsets: Array
    training_subsets: Array


def key_for(seed: int, use: Use) -> Array:
    """Return the key for one use."""
    return jax.random.fold_in(jax.random.key(seed), use)


def step_keys(seed: int, models: int) -> Array:
    """Return the keys for `draw`, one for each pool model of a step: ``[models]``."""
    others = jax.random.split(key_for(seed, Use.MORE_MODELS), models - 1)
    return jnp.concatenate([key_for(seed, Use.STEPS)[None], others])


def draw(key: Array, step: Array, pool_size: int, training: tuple[int, int]) -> Draws:
    """Draw the random values of outer step ``step`` (from 0) for one of its models, by one of `step_keys`.

    ``training`` are the fewest and the most training steps that a model gets.
    """
    keys = jax.random.split(jax.random.fold_in(key, step), 5)
    key_model, key_training, fresh, subsets, training_subsets = keys
    model = jax.random.randint(key_model, (), 0, pool_size)
    training_steps = jax.random.randint(key_training, (), training[0], training[1] + 1)
    return Draws(model, training_steps, fresh, subsets, training_subsets)


def draw_each(keys: Array, step: Array, share: int, training: tuple[int, int]) -> list[Draws]:
    """Call `draw` with each of some keys; each draws from its own ``share`` models of the pool."""
    drawn = jax.vmap(lambda key: draw(key, step, share, training))(keys)
    places = drawn._replace(model=drawn.model + share * jnp.arange(len(keys)))
    return [jax.tree.map(lambda leaf, at=at: leaf[at], places) for at in range(len(keys))]


def image_keys(seed: int, step: Array, places: Array) -> Array:
    """Return keys for the augmentation of a step's real images by their places in its batch, ``[...]``."""
    key = jax.random.fold_in(key_for(seed, Use.AUGMENTATION), step)
    keys = jax.vmap(lambda place: jax.random.fold_in(key, place))(places.reshape(-1))
    return keys.reshape(places.shape)


def batch_order(key: Array, count: int, batch: int) -> Callable[[int], npt.NDArray[np.int64]]:
    """Return the function ``step -> [min(batch, count)]`` indices of the real images of an outer step.

    Every epoch has its own order; images that don't fill a batch are left out.

    Parameters
    ----------
    key
        The key for ``Use.DATA``.
    count
        Number of real images.
    batch
        Images per step.
    """
    batch = min(batch, count)
    per_epoch = count // batch

    @lru_cache(maxsize=1)
    def order(epoch: int) -> npt.NDArray[np.int64]:
        return np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), count))

    def indices(step: int) -> npt.NDArray[np.int64]:
        epoch, place = divmod(step, per_epoch)
        return order(epoch)[place * batch : (place + 1) * batch]

    return indices


def balanced_order(
    key: Array, labels: npt.NDArray[np.int32], classes: int, batch: int
) -> Callable[[int], npt.NDArray[np.int64]]:
    """Return the function ``step -> [batch]`` indices of the real images of an outer step.

    There are as many of each class.  The class changes fastest, so any ``C`` consecutive images have one of
    each class.  Each class has its own epochs with an order each; images that don't fill a step's part are
    left out.  The images of a class with too few for one step are repeated.

    Parameters
    ----------
    key
        The key for ``Use.DATA``.
    labels, classes
        The class of each real image, ``[N]``, and the number of classes.
    batch
        Images per step, a multiple of the number of classes.
    """
    members = [np.flatnonzero(labels == label) for label in range(classes)]
    keys = jax.random.split(key, len(members))
    each = batch // len(members)

    @lru_cache(maxsize=len(members))
    def order(label: int, epoch: int) -> npt.NDArray[np.int64]:
        shuffled = jax.random.permutation(jax.random.fold_in(keys[label], epoch), len(members[label]))
        return np.resize(members[label][np.asarray(shuffled)], max(each, len(members[label])))

    def of_class(label: int, step: int) -> npt.NDArray[np.int64]:
        epoch, place = divmod(step, max(1, len(members[label]) // each))
        return order(label, epoch)[place * each : (place + 1) * each]

    return lambda step: np.stack([of_class(label, step) for label in range(len(members))], 1).reshape(-1)


def first_images(
    key: Array, labels: npt.NDArray[np.int32], counts: Sequence[int], *, repeat: bool = True
) -> npt.NDArray[np.int64]:
    """Pick random real images of each class: the indices, class by class, ``[sum(counts)]``.

    Parameters
    ----------
    key
        Determines the choice.
    labels
        The class of each real image, ``[N]``.
    counts
        How many images of each class to pick.
    repeat
        Whether the images of a class that has fewer are repeated; otherwise each is picked once.
    """
    picked = []
    for label, class_key in enumerate(jax.random.split(key, len(counts))):
        members = np.flatnonzero(labels == label)
        assert len(members), label  # no data set is prepared without images of a class
        order = members[np.asarray(jax.random.permutation(class_key, len(members)))]
        count = counts[label] if repeat else min(counts[label], len(members))
        picked.append(np.resize(order, count))  # repeats `order` as often as needed
    return np.concatenate(picked)


def perturb_copies(key: Array, images: Array, chosen: npt.NDArray[np.int64]) -> Array:
    """Add noise to images that were picked before, so that gradients tell the copies of an image apart.

    Parameters
    ----------
    key
        Determines the noise.
    images
        As networks see them, ``[n, H, W, c]``; the noise has a tenth of their standard deviation.
    chosen
        Which real image each is, ``[n]``; the first of equal ones stays unchanged.
    """
    copies = np.setdiff1d(np.arange(len(chosen)), np.unique(chosen, return_index=True)[1])
    if not len(copies):
        return images
    noise = jax.random.normal(key, (len(copies), *images.shape[1:]), images.dtype)
    return images.at[copies].add(_NOISE * images.std() * noise)
