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

from rcig_cli.distillation.coresets import k_center, k_means
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.randomness import Use, first_images, key_for, perturb_copies

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
