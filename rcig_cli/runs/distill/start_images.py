"""The images that a distillation starts from.

Each class is treated by itself, in the space of the network's input (standardized or whitened):

random        real images at random
k-center      the real image nearest to the mean of the class, then again and again the one that is furthest
              from all images chosen so far (Gonzalez 1985)
class-mean    the mean of the class, or for several images the centres that k-means finds
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from jax import Array
from jax import numpy as jnp

from rcig_cli.runs.engine.batches import Indices, RealData
from rcig_cli.runs.engine.randomness import Use, first_images, key_for, perturb_copies

Rows = npt.NDArray[np.float32]

# The images of a class that are compared with each other, in bytes: of a larger class, as many at random.
_LARGEST_CLASS = 2**28


def start_images(
    real: RealData, counts: Sequence[int], start: str, seed: int
) -> tuple[Array, npt.NDArray[np.int32]]:
    """Choose the images that a distillation starts from.

    The images of a class that has fewer than are wanted are repeated, with noise.

    Parameters
    ----------
    real
        The real training images.
    counts
        How many images of each class are wanted.
    start
        ``"random"``, ``"k-center"`` or ``"class-mean"``.
    seed
        The run's seed.

    Returns
    -------
    images, classes
        ``[sum(counts), H, W, c]``, class by class, and the class of each, ``[sum(counts)]``.
    """
    classes = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    key, copies = key_for(seed, Use.FIRST_IMAGES), key_for(seed, Use.COPIES)
    if start == "random":
        chosen = first_images(key, real.classes, counts)
        return perturb_copies(copies, jnp.asarray(real.images[chosen]), chosen), classes
    most = max(_LARGEST_CLASS * len(real.classes) // real.images.nbytes, *counts)
    candidates = first_images(key, real.classes, [most] * len(counts), repeat=False)
    found = []
    for label, count in enumerate(counts):
        rows = real.images[np.sort(candidates[real.classes[candidates] == label])]
        flat = rows.reshape(len(rows), -1)
        several = min(count, len(rows))
        centres = flat[k_center(flat, several)] if start == "k-center" else k_means(flat, several, seed)
        found.append(np.resize(centres, (count, flat.shape[1])))
    images = np.concatenate(found)
    same = np.unique(images, axis=0, return_inverse=True)[1].reshape(-1)
    return perturb_copies(copies, jnp.asarray(images.reshape(-1, *real.images.shape[1:])), same), classes


def k_center(rows: Rows, count: int) -> Indices:
    """Choose ``count`` of some rows ``[m, d]`` by the greedy k-center rule: their indices.

    The first is the one nearest to the mean, each other the one that is furthest from those before it.
    """
    chosen = [int(_distances(rows, rows.mean(0)).argmin())]
    nearest = np.full(len(rows), np.inf, np.float32)
    while len(chosen) < count:
        nearest = np.minimum(nearest, _distances(rows, rows[chosen[-1]]))
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def k_means(rows: Rows, count: int, seed: int) -> Rows:
    """Return the ``[count, d]`` centres that k-means finds among some rows ``[m, d]``; of one, their mean."""
    if count == 1:
        return rows.mean(0, keepdims=True)
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # threads would add up the rows of a cluster in any order
        centres: Rows = KMeans(count, n_init=1, random_state=seed).fit(rows).cluster_centers_
    return centres


def _distances(rows: Rows, point: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the squared distances of rows ``[m, d]`` from a point ``[d]``."""
    distances: npt.NDArray[np.float32] = ((rows - point) ** 2).sum(1)
    return distances
