"""Large distilled sets: forward passes over all images, gradients through a subset (paper, 3.6, Figure S1).

The gradient is a sum over images, J^T u = sum_i J_i^T u_i, so that

    (n / n_subset) sum_{i in subset} J_i^T u_i

is an unbiased estimate of it, with n_subset of n images drawn anew for each use.  Forward passes store no
activations and are computed in chunks, so that memory grows only with n_subset.  ``transposed`` computes the
sum over all images, also in chunks, each linearized again.  Conjugate gradients use it, since they need the
same system at every iteration.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax import Array

from rcig_cli.distillation.bilevel.linearized import Apply, Linearized, linearize
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree

Rows = TypeVar("Rows")


def choose(key: Array, count: int, size: int) -> Array:
    """Draw ``size`` of ``count`` rows without replacement: ``[size]`` indices."""
    return jax.random.permutation(key, count)[:size]


def subset_size(backward_subset: int | None, count: int) -> int | None:
    """Return the number of images, of ``count``, that gradients go through, or None for all of them."""
    return backward_subset if backward_subset is not None and backward_subset < count else None


def linearize_subsampled(
    apply: Apply, theta: Tree, images: Array, size: int, platform: Platform
) -> Linearized:
    """Linearize a network in its parameters, never holding more than ``size`` images' intermediate values.

    Parameters
    ----------
    apply
        ``(theta, images) -> (logits [n, C], features [n, d])``; maps each image by itself.
    theta
        Where to linearize.
    images
        ``[n, H, W, c]``.
    size
        Images in a subset, and in a chunk.
    platform
        How chunks are laid out.
    """

    def product(t: Tree) -> Array:
        def of_chunk(chunk: Array) -> Array:
            return jax.jvp(lambda at: apply(at, chunk)[0], (theta,), (t,))[1]

        return platform.rows(of_chunk, images, size)

    def pull(chunk: Array, u: Array) -> Tree:
        return linearize(apply, theta, chunk).transposed(u)

    def draw(key: Array) -> Callable[[Array], Tree]:
        chosen = choose(key, images.shape[0], size)
        few = linearize(apply, theta, images[chosen], platform.parts)
        return lambda u: few.transposed(images.shape[0] / size * u[chosen])

    features = platform.rows(lambda chunk: apply(theta, chunk)[1], images, size)
    return Linearized(features, product, lambda u: platform.sum_over(pull, images, u, size), draw)


def through_subset(
    function: Callable[[Array], Rows], images: Array, key: Array, size: int, platform: Platform
) -> Rows:
    """Return ``function(images)``, with an unbiased gradient through a random subset.

    Parameters
    ----------
    function
        From images ``[m, H, W, c]`` to arrays with a row for each.
    images
        ``[n, H, W, c]``.
    key
        Draws the subset.
    size, platform
        Images in it, and in a chunk; how chunks are laid out.
    """
    count = images.shape[0]
    chosen = choose(key, count, size)
    fixed = platform.rows(function, jax.lax.stop_gradient(images), size)
    live = function(images[chosen])

    def rows(constant: Array, some: Array) -> Array:
        change = some - jax.lax.stop_gradient(some)  # zero, but for its derivative
        return constant.at[chosen].add((count / size) * change)

    return jax.tree.map(rows, jax.lax.stop_gradient(fixed), live)
