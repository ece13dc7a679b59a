"""Measures of how well scores separate members from non-members.

    AUC          = P(member's score > non-member's) + P(equal) / 2
    TPR at FPR a = the largest fraction of members above a threshold that at most a fraction a of the
                   non-members exceeds

The FPR is counted, not interpolated: of ``n`` non-members at most ``floor(a n)`` may exceed the threshold,
so with fewer than ``1 / a`` of them none may.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

# Low rates, as in Carlini et al. (2022): an attack is a threat if it recognizes even a few members reliably.
FALSE_POSITIVE_RATES = (0.001, 0.01)

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Success:
    """The success of an attack.

    Attributes
    ----------
    auc
        Area under its ROC curve; 0.5 for random guessing.
    tpr
        Its true positive rate at each of `FALSE_POSITIVE_RATES`.
    """

    auc: float
    tpr: tuple[float, ...]


def success(scores: Floats, members: Bools) -> Success:
    """Return AUC and TPR of scores ``[n]``, higher for members, given the membership ``[n]``."""
    return Success(
        float(roc_auc_score(members, scores)),
        tuple(tpr_at(scores, members, rate) for rate in FALSE_POSITIVE_RATES),
    )


def tpr_at(scores: Floats, members: Bools, rate: float) -> float:
    """Return the true-positive rate of scores ``[n]`` at a false-positive rate of at most ``rate`` (< 1)."""
    others = np.sort(scores[~members])[::-1]
    # The threshold is the highest score of a non-member that may not exceed it; ties count as not found.
    return float((scores[members] > others[false_positives(len(others), rate)]).mean())


def false_positives(non_members: int, rate: float) -> int:
    """Return how many of some non-members a false-positive rate allows to be classified as members."""
    return math.floor(rate * non_members + 1e-9)  # in floating point 0.001 * 5000 may be less than 5


def chance_error(members: int, non_members: int) -> float:
    """Return the standard error of the AUC of random scores (of the Mann-Whitney statistic)."""
    return math.sqrt((members + non_members + 1) / (12 * members * non_members))
