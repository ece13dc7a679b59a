"""LiRA on planted Gaussians, whose best attack is known, and its parts against their definitions."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from rcig_cli.privacy.lira import confidences, inclusion, offline_scores, online_scores
from rcig_cli.privacy.roc import success, tpr_at
from tests.privacy.leaks import normal_cdf


def planted(n, shadows, d, *, wide=3.0, seed=0):
    """phi of a target and its shadows: N(m_i, 1), and d more with example i; m_i ~ N(0, wide^2)."""
    random = np.random.default_rng(seed)
    members = np.arange(2 * n) < n
    difficulty = wide * random.normal(size=2 * n)
    inside = inclusion(shadows, 2 * n, random)
    target = difficulty + d * members + random.normal(size=2 * n)
    return target, difficulty + d * inside + random.normal(size=inside.shape), inside, members


@pytest.mark.parametrize("d", [0.0, 1.0, 2.0])
def test_online_scores_reach_the_best_auc_and_tpr(d):
    """The best score is phi - m_i: AUC Phi(d / sqrt 2), TPR Phi(d - z) at FPR 1 - Phi(z)."""
    n = 4000
    target, shadows, inside, members = planted(n, 256, d)
    scores = online_scores(target, shadows, inside)
    best = normal_cdf(d / math.sqrt(2))
    error = math.sqrt(best * (1 - best) / n)
    if d == 0:  # fitted differences are noise, and so are the scores
        assert success(scores, members).auc == pytest.approx(0.5, abs=4 * error)
        return
    assert success(scores, members).auc == pytest.approx(best, abs=4 * error)
    for rate in (0.01, 0.1):
        power = normal_cdf(d + NormalDist().inv_cdf(rate))
        # Two errors: of the share found, and of the threshold, through the slope of the power in the rate.
        slope = math.exp(-d * (NormalDist().inv_cdf(rate)) - d * d / 2)
        spread = math.sqrt((power * (1 - power) + slope**2 * rate * (1 - rate)) / n)
        assert tpr_at(scores, members, rate) == pytest.approx(power, abs=4 * spread)


def test_offline_scores_reach_the_best_auc_with_one_variance():
    """Of phi - mean_out, whose error with S shadows out of an example is 1 / S."""
    n, out, d = 4000, 8, 1.5
    target, shadows, inside, members = planted(n, 2 * out, d)
    best = normal_cdf(d / math.sqrt(2 * (1 + 1 / out)))
    found = success(offline_scores(target, shadows, ~inside), members).auc
    assert found == pytest.approx(best, abs=4 * math.sqrt(best * (1 - best) / n))


def test_members_are_found_by_their_variance_alone():
    """phi of members has the same mean and a smaller variance, which only a likelihood ratio uses."""
    random = np.random.default_rng(0)
    members = np.arange(4000) < 2000
    inside = inclusion(16, 4000, random)
    target = random.normal(size=4000) * np.where(members, 0.2, 1)
    shadows = random.normal(size=inside.shape) * np.where(inside, 0.2, 1)
    assert success(online_scores(target, shadows, inside), members).auc > 0.8
    assert success(target, members).auc == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(2000))


@pytest.mark.parametrize("count", [8, 64])
def test_scores_follow_the_definition(count):
    """Against densities written out, with each example's own variance from 64 shadows on and one below."""
    target, shadows, inside, _ = planted(3, count, 1.0)
    fits = []
    for which in (inside, ~inside):
        groups = [shadows[which[:, i], i] for i in range(6)]
        own = [group.var(ddof=1) for group in groups]  # all groups are of one size
        variances = own if count >= 64 else [np.mean(own)] * 6
        fitted = zip(groups, variances, strict=True)
        fits.append([NormalDist(group.mean(), math.sqrt(variance)) for group, variance in fitted])
    expected = [
        math.log(with_it.pdf(phi) / without.pdf(phi))
        for phi, with_it, without in zip(target, *fits, strict=True)
    ]
    assert online_scores(target, shadows, inside) == pytest.approx(np.array(expected), rel=1e-9)


def test_every_example_is_in_half_of_the_shadows_and_every_shadow_has_half():
    inside = inclusion(6, 101, np.random.default_rng(0))
    assert (inside.sum(axis=0) == 3).all()
    assert set(inside.sum(axis=1)) == {50, 51}


def test_confidences_follow_the_definition_and_stay_finite():
    random = np.random.default_rng(0)
    logits, classes = random.normal(size=(50, 4)), random.integers(4, size=50)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = p[np.arange(50), classes]
    assert confidences(logits, classes) == pytest.approx(np.log(own / (1 - own)), rel=1e-9)
    sure = confidences(np.array([[800.0, 0.0, -800.0], [-800.0, 0.0, 800.0]]), np.array([0, 0]))
    assert sure == pytest.approx([800.0, -1600.0])


def test_equal_shadows_divide_nothing_by_zero():
    target, inside = np.array([1.0, 2.0]), inclusion(4, 2, np.random.default_rng(0))
    assert np.isfinite(online_scores(target, np.zeros((4, 2)), inside)).all()
    assert np.isfinite(offline_scores(target, np.zeros((4, 2)), ~inside)).all()
