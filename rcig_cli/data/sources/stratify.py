"""An order of labelled items in which every stretch holds each class in its due share.

Within a class the items are shuffled.  Item j of a class of n items (counted from 0) is then placed at
(j + 1/2) / n, and all items are sorted by their place, ties by class.  So the first m of N items hold
m n / N of a class, give or take one, and so do any m in a row, give or take two; where classes are
equal in size and m is a multiple of their number, the shares are exact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def stratified_order(labels: npt.NDArray[np.int32], seed: int) -> npt.NDArray[np.int64]:
    """Give the positions of all items in a shuffled, class-stratified order.

    Parameters
    ----------
    labels
        Class of each item, int32 ``[n]``.
    seed
        Fixes the shuffle; class and seed alone decide it, whatever the other classes hold.

    Returns
    -------
    ndarray
        A permutation of ``range(n)``, int64.
    """
    places = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranks = _shuffled_ranks(len(members), seed=(seed, int(label)))
        places[members] = (ranks + 0.5) / len(members)
    return np.lexsort((labels, places))


def _shuffled_ranks(count: int, seed: tuple[int, int]) -> npt.NDArray[np.int64]:
    # Raw words of a named bit generator: unlike the shuffles of numpy's Generator, these are promised
    # never to change between versions.
    words = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(count)
    return np.argsort(np.argsort(words, kind="stable"), kind="stable")


def held_out(labels: npt.NDArray[np.int32], count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Mark ``count`` items to be held out for testing, class-stratified.

    Parameters
    ----------
    labels
        Class of each item, int32 ``[n]``.
    count
        How many to hold out: at most all but one of each class.
    seed
        Fixes the choice.

    Returns
    -------
    ndarray
        bool ``[n]``, true for the held-out items; one of each class is never among them.
    """
    order = stratified_order(labels, seed)
    _, first_of_class = np.unique(labels[order], return_index=True)
    free = np.delete(order, first_of_class)
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[free[len(free) - count :]] = True
    return mask
