"""psi = (X_S as it is stored, y_S, log tau), which is learned, and the training set that it represents."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Tree = Any  # a pytree of arrays with the structure of theta_B, psi or a network's parameters


class Distilled(NamedTuple):
    """psi, the learned quantities.

    Attributes
    ----------
    stored
        The arrays, by name, from which X_S ``[n, H, W, c]`` is decoded (`Task.decode`): for raw sets
        ``images``, which is X_S in the network's input space.
    labels
        y_S, ``[n, C]``, centred.
    log_temperature
        log tau, ``[]``.
    """

    stored: Mapping[str, Array]
    labels: Array
    log_temperature: Array


def split(rows: Array, parts: int) -> list[Array]:
    """Cut an array into at most ``parts`` nearly equal parts, none of them empty."""
    return jnp.array_split(rows, min(parts, rows.shape[0]))


def total(trees: Sequence[Any]) -> Any:
    """Add pytrees of the same structure, in their order."""
    return jax.tree.map(lambda first, *others: sum(others, first), *trees)


def all_finite(tree: Any) -> Array:
    """Whether every number of a pytree is finite, ``[]``."""
    return jnp.all(jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))


def centred_one_hot(classes: Array, count: int, dtype: Any = jnp.float32) -> Array:
    """One-hot labels less their mean ``1/C``: ``[n]`` class indices to ``[n, C]``."""
    return jnp.asarray(classes[:, None] == jnp.arange(count), dtype) - 1 / count


def training_set(images: Array, labels: Array, *, flip: bool) -> tuple[Array, Array]:
    """Images and labels as a network is trained on them: with ``flip``, followed by their mirror images."""
    if not flip:
        return images, labels
    return jnp.concatenate([images, images[:, :, ::-1]]), jnp.concatenate([labels, labels])
