"""How well scores tell members from non-members.

    AUC          = P(member's score > non-member's) + P(equal) / 2
    TPR at FPR a = the largest share of members above a threshold that at most a share a of others is above

A small FPR is counted, not interpolated: of ``n`` non-members at most ``floor(a n)`` may be taken for
members, so that with fewer than ``1 / a`` of them none may be.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

# What Carlini et al. (2022) judge an attack by: who is found while hardly anybody is accused wrongly.
FALSE_POSITIVE_RATES = (0.001, 0.01)

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Success:
    """How well an attack did.

    Attributes
    ----------
    auc
        Area under its ROC curve; 0.5 is guessing.
    tpr
        Its true positive rate at each of `FALSE_POSITIVE_RATES`.
    """

    auc: float
    tpr: tuple[float, ...]


def success(scores: Floats, members: Bools) -> Success:
    """Judge scores ``[n]``, higher for members, by who the members ``[n]`` are."""
    return Success(
        float(roc_auc_score(members, scores)),
        tuple(tpr_at(scores, members, rate) for rate in FALSE_POSITIVE_RATES),
    )


def tpr_at(scores: Floats, members: Bools, rate: float) -> float:
    """The true positive rate of scores ``[n]`` at a false positive rate of at most ``rate``, below 1."""
    others = np.sort(scores[~members])[::-1]
    # Whoever is above the first non-member that may not be accused is found; its equals are not.
    return float((scores[members] > others[false_positives(len(others), rate)]).mean())


def false_positives(non_members: int, rate: float) -> int:
    """How many of so many non-members a false positive rate allows to be taken for members."""
    return math.floor(rate * non_members + 1e-9)  # 0.001 * 5000 is a little less than 5 in floating point


def chance_error(members: int, non_members: int) -> float:
    """Standard error of the AUC of scores that know nothing: that of the Mann-Whitney statistic."""
    return math.sqrt((members + non_members + 1) / (12 * members * non_members))
