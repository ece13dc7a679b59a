"""Five membership inference attacks, by the protocol of the privacy tests in TensorFlow Privacy.

``threshold`` learns nothing: a lower loss means a member.  ``logistic_regression``, ``mlp``,
``random_forest`` and ``knn`` are classifiers of logits and loss, fitted on one half of the examples.  All
five are tested on the other half.  Their hyperparameters are fixed, so no search uses the test half.

The loss is the one that networks are trained with, the mean squared error to the centred one-hot label.
Without regularization it is near 0 for every member.
"""

import math
import warnings
from dataclasses import dataclass
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

from rcig_cli.privacy.roc import Bools, Floats, Success, success

ATTACKS = ("threshold", "logistic_regression", "mlp", "random_forest", "knn")

_LEAST_LOSS = 1e-12  # smaller losses are rounding errors of float32 logits of order 1

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Observations:
    """What an attacker observes of n examples, and the membership to be inferred.

    Attributes
    ----------
    logits
        The network's output, ``[n, C]``.
    losses
        The loss at the true class, ``[n]``, at least 0.
    members
        bool ``[n]``: which examples are members.
    """

    logits: Floats
    losses: Floats
    members: Bools

    @property
    def features(self) -> Floats:
        """Logits and the logarithm of the loss, ``[n, C + 1]``: losses differ by orders of magnitude."""
        return np.column_stack([self.logits, np.log(np.maximum(self.losses, _LEAST_LOSS))])


def observe(logits: Floats, classes: npt.NDArray[np.int32], members: Bools) -> Observations:
    """Return what an attacker observes, from logits ``[n, C]``, classes ``[n]`` and membership ``[n]``."""
    return Observations(logits, squared_errors(logits, classes), members)


def squared_errors(logits: Floats, classes: npt.NDArray[np.int32]) -> Floats:
    """Return the mean squared errors ``[n]`` of logits ``[n, C]`` to the centred one-hot labels."""
    count = logits.shape[1]
    labels = (classes[:, None] == np.arange(count)) - 1 / count
    errors: Floats = ((logits.astype(np.float64) - labels) ** 2).mean(axis=1)
    return errors


def _learners(count: int, seed: int) -> dict[str, Any]:
    """Return the classifiers of the learned attacks, for a number of examples to fit them on."""
    # With few neighbours a weak leak is lost in noise.
    neighbours = KNeighborsClassifier(min(count, max(25, math.isqrt(count))))
    return {
        "logistic_regression": LogisticRegression(max_iter=1000, random_state=seed),
        # With less weight decay it overfits the half that it is fitted on.
        "mlp": MLPClassifier((64,), alpha=1.0, learning_rate_init=3e-3, max_iter=60, random_state=seed),
        "random_forest": RandomForestClassifier(100, max_depth=10, min_samples_leaf=4, random_state=seed),
        "knn": make_pipeline(FunctionTransformer(_weigh_loss_like_logits), neighbours),
    }


def _weigh_loss_like_logits(features: Floats) -> Floats:
    """Scale standardized features so that the loss counts as much in distances as all logits together."""
    logits = features.shape[1] - 1
    weighed: Floats = features * np.append(np.full(logits, logits**-0.5), 1.0)
    return weighed


def attack(observed: Observations, seed: int) -> dict[str, Success]:
    """Run each of `ATTACKS`.

    Parameters
    ----------
    observed
        Observations of at least two members and two non-members.
    seed
        Determines the halves and the attacks' random numbers, below 2^32.

    Returns
    -------
    dict
        The success of each attack on the test half, by its name.
    """
    fitted_on, tested_on = halves(observed.members, seed)
    features, members = observed.features, observed.members
    scores: dict[str, Floats] = {"threshold": -observed.losses[tested_on]}
    for name, learner in _learners(len(fitted_on), seed).items():
        fitted = make_pipeline(StandardScaler(), learner)
        with warnings.catch_warnings():
            # A fit that has not converged is still a valid attack.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(features[fitted_on], members[fitted_on])
        scores[name] = fitted.predict_proba(features[tested_on])[:, 1]
    return {name: success(scores[name], members[tested_on]) for name in ATTACKS}


def halves(members: Bools, seed: int) -> tuple[Indices, Indices]:
    """Return the indices to fit attacks on and those to test them on, each half of both groups."""
    fitted_on, tested_on = train_test_split(
        np.arange(len(members)), test_size=0.5, stratify=members, random_state=seed
    )
    return fitted_on, tested_on
