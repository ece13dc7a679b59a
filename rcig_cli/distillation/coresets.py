"""Choosing some of a class's real images by their features, one row of numbers for each image.

random      any of them
herding     one after the other, so that the mean of those chosen stays as near as possible to the mean of
            the class (Welling: Herding Dynamical Weights to Learn, ICML 2009)
k-center    the one nearest to the mean, then again and again the one that is furthest from those chosen
            (Gonzalez: Clustering to Minimize the Maximum Intercluster Distance, 1985)
k-means     the one nearest to each of the centres that k-means finds
"""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


def pick_random(rows: Rows, count: int, random: np.random.Generator) -> Indices:
    """Choose ``count`` of some rows ``[m, d]`` at random: their indices, in any order."""
    return random.permutation(len(rows))[:count]


def herding(rows: Rows, count: int, random: np.random.Generator | None = None) -> Indices:
    """Choose ``count`` of some rows ``[m, d]`` so that the mean of the first k is near to the mean of all.

    Each is the one with which the squared distance of the two means is smallest, no row twice.
    """
    del random
    mean, sums = rows.mean(0), np.zeros(rows.shape[1], np.float32)
    chosen: list[int] = []
    for size in range(1, count + 1):
        distances = squared_distances(rows, size * mean - sums)
        distances[chosen] = np.inf
        chosen.append(int(distances.argmin()))
        sums += rows[chosen[-1]]
    return np.array(chosen)


def k_center(rows: Rows, count: int, random: np.random.Generator | None = None) -> Indices:
    """Choose ``count`` of some rows ``[m, d]`` by the greedy k-center rule: their indices.

    The first is the one nearest to the mean, each other the one that is furthest from those before it, no
    row twice.
    """
    del random
    chosen = [int(squared_distances(rows, rows.mean(0)).argmin())]
    nearest = np.full(len(rows), np.inf, np.float32)
    while len(chosen) < count:
        nearest = np.minimum(nearest, squared_distances(rows, rows[chosen[-1]]))
        nearest[chosen[-1]] = -1
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def nearest_to_k_means(rows: Rows, count: int, random: np.random.Generator) -> Indices:
    """Choose the row nearest to each of the ``count`` centres of some rows ``[m, d]``, no row twice."""
    chosen: list[int] = []
    for centre in k_means(rows, count, int(random.integers(2**31))):
        distances = squared_distances(rows, centre)
        distances[chosen] = np.inf
        chosen.append(int(distances.argmin()))
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


def squared_distances(rows: Rows, point: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the squared distances of rows ``[m, d]`` from a point ``[d]``."""
    distances: npt.NDArray[np.float32] = ((rows - point) ** 2).sum(1)
    return distances
