"""AUC and TPR against their definitions and cases counted by hand."""

import math

import numpy as np
import pytest

from rcig_cli.privacy.roc import chance_error, false_positives, success, tpr_at


def by_definition(scores, members):
    pairs = scores[members][:, None] - scores[~members][None]
    return (pairs > 0).mean() + (pairs == 0).mean() / 2


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_auc_counts_ties_half(levels):
    random = np.random.default_rng(levels)
    members = random.random(300) < 0.4
    scores = np.floor(levels * (random.random(300) + 0.1 * members))
    assert success(scores, members).auc == pytest.approx(by_definition(scores, members), abs=1e-12)


# Scores 9, 8, ... of: member, member, other, member, other, other, member, other.
MEMBERS = np.array([1, 1, 0, 1, 0, 0, 1, 0], bool)
SCORES = np.arange(9.0, 1.0, -1)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(0.0, 2 / 4), (0.01, 2 / 4), (0.249, 2 / 4), (0.25, 3 / 4), (0.5, 3 / 4), (0.75, 1.0)],
)
def test_tpr_by_hand(rate, expected):
    assert tpr_at(SCORES, MEMBERS, rate) == expected


def test_a_member_that_ties_with_one_too_many_is_not_found():
    scores = np.array([5.0, 4.0, 4.0, 3.0])
    members = np.array([True, True, False, False])
    assert tpr_at(scores, members, 0.0) == 0.5
    assert tpr_at(scores, members, 0.5) == 1.0


def test_tpr_is_the_best_over_all_thresholds():
    random = np.random.default_rng(0)
    members = np.arange(400) < 200
    scores = np.round(random.normal(size=400) + members, 1)
    for rate in (0.001, 0.01, 0.1, 0.5):
        thresholds = [*np.unique(scores), np.inf]
        rates = [((scores >= t)[~members].mean(), (scores >= t)[members].mean()) for t in thresholds]
        assert tpr_at(scores, members, rate) == max(tpr for fpr, tpr in rates if fpr <= rate)


@pytest.mark.parametrize(("count", "expected"), [(999, 0), (1000, 1), (5000, 5), (10_000, 10), (180, 0)])
def test_number_of_false_positives_at_a_rate_of_one_in_a_thousand(count, expected):
    assert false_positives(count, 0.001) == expected


def test_chance_error_is_the_deviation_of_random_scores():
    random = np.random.default_rng(0)
    members = np.arange(150) < 50
    seen = [success(random.random(150), members).auc for _ in range(400)]
    expected = chance_error(50, 100)
    assert expected == math.sqrt(151 / (12 * 5000))
    # What the deviation of 400 draws is known to, four times.
    assert np.std(seen) == pytest.approx(expected, rel=4 / math.sqrt(2 * 400))
