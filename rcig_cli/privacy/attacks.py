"""Five attacks on membership, by the protocol that the suite of TensorFlow Privacy made standard.

    threshold             the lower the loss, the more a member; nothing is learned
    logistic_regression   learned from logits and loss,
    mlp                   on one half of the examples, members and non-members in equal shares,
    random_forest         and judged on the other half
    knn

All are judged on the same half.  Their settings are fixed: no search over settings sees the other half.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from rcig_cli.privacy.features import Seen
from rcig_cli.privacy.roc import Bools, Floats, Success, success

ATTACKS = ("threshold", "logistic_regression", "mlp", "random_forest", "knn")

Indices = npt.NDArray[np.int64]


# What learns from examples, given how many there are and a seed.
Learner = Callable[[int, int], Any]


def _logistic_regression(count: int, seed: int) -> Any:
    del count
    return LogisticRegression(max_iter=1000, random_state=seed)


def _mlp(count: int, seed: int) -> Any:
    del count
    # With less weight decay it memorises its half, and finds less in the other.
    return MLPClassifier((64,), alpha=1.0, learning_rate_init=3e-3, max_iter=60, random_state=seed)


def _random_forest(count: int, seed: int) -> Any:
    del count
    return RandomForestClassifier(100, max_depth=10, min_samples_leaf=4, random_state=seed)


def _knn(count: int, seed: int) -> Any:
    del seed  # it draws nothing
    # Few neighbours can't tell a weak leak from noise.
    neighbours = KNeighborsClassifier(min(count, max(25, math.isqrt(count))))
    return make_pipeline(FunctionTransformer(_loss_as_much_as_logits), neighbours)


def _loss_as_much_as_logits(features: Floats) -> Floats:
    """Features of one scale, weighed for distances: otherwise many logits drown the one loss."""
    logits = features.shape[1] - 1
    weighed: Floats = features * np.append(np.full(logits, logits**-0.5), 1.0)
    return weighed


_LEARNERS: Mapping[str, Learner] = {
    "logistic_regression": _logistic_regression,
    "mlp": _mlp,
    "random_forest": _random_forest,
    "knn": _knn,
}


def attack(seen: Seen, seed: int) -> dict[str, Success]:
    """Attack with each of `ATTACKS`.

    Parameters
    ----------
    seen
        What is seen of the examples, two members and two non-members at least.
    seed
        Decides the halves and what the attacks draw, below 2^32.
    """
    fitted_on, judged_on = halves(seen.members, seed)
    features, members = seen.features, seen.members
    scores: dict[str, Floats] = {"threshold": -seen.losses[judged_on]}
    for name, learner in _LEARNERS.items():
        learned = _fit(learner(len(fitted_on), seed), features[fitted_on], members[fitted_on])
        scores[name] = learned.predict_proba(features[judged_on])[:, 1]
    return {name: success(scores[name], members[judged_on]) for name in ATTACKS}


def halves(members: Bools, seed: int) -> tuple[Indices, Indices]:
    """Places that the attacks learn from, and places they are judged by: disjoint, both with half of each."""
    learned, judged = train_test_split(
        np.arange(len(members)), test_size=0.5, stratify=members, random_state=seed
    )
    return learned, judged


def _fit(learner: Any, features: Floats, members: Bools) -> Any:
    with warnings.catch_warnings():
        # An attack that has not converged is an attack all the same: it is judged by what it finds.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), learner).fit(features, members)
