"""Planted leaks are found up to the best possible AUC; without a leak the AUC is that of chance."""

import math

import numpy as np
import pytest

from rcig_cli.privacy.attacks import ATTACKS, Observations, attack, halves, observe, squared_errors
from rcig_cli.privacy.roc import chance_error
from tests.privacy import leaks

N = 2000
FOUR_ERRORS = 4 * chance_error(N // 2, N // 2)


def auc_error(auc):
    """The largest error of an AUC: its variance is below AUC (1 - AUC) / the smaller group."""
    return math.sqrt(auc * (1 - auc) / (N / 2))


def aucs(seen, seed=0):
    return {name: found.auc for name, found in attack(seen, seed).items()}


@pytest.mark.parametrize("d", [0.5, 2.0])
def test_a_leak_through_the_loss_is_found_up_to_the_bound(d):
    best = leaks.normal_cdf(d / math.sqrt(2))
    found = aucs(leaks.lower_losses(N, d))
    error = auc_error(best)
    assert found["threshold"] == pytest.approx(best, abs=4 * error)
    assert found["logistic_regression"] == pytest.approx(best, abs=4 * error)
    for name in ("mlp", "random_forest", "knn"):
        assert found[name] <= best + 4 * error


def test_a_leak_through_the_logits_is_found_up_to_the_bound():
    logits, log_losses, members, _ = leaks.noise(N)
    shift = np.linspace(0, 0.6, leaks.CLASSES)
    best = leaks.normal_cdf(np.linalg.norm(shift) / math.sqrt(2))
    found = aucs(leaks.seen(logits + shift * members[:, None], log_losses, members))
    error = auc_error(best)
    assert found["logistic_regression"] == pytest.approx(best, abs=4 * error)
    assert found["threshold"] == pytest.approx(0.5, abs=FOUR_ERRORS)  # the loss says nothing
    for name in ("mlp", "random_forest", "knn"):
        assert 0.5 + FOUR_ERRORS < found[name] <= best + 4 * error


def test_every_attack_finds_all_members_that_are_separable():
    for name, found in attack(leaks.separable(N // 4), 0).items():
        assert (found.auc, found.tpr) == (1.0, (1.0, 1.0)), name


def test_a_few_certain_members_raise_the_tpr_and_hardly_the_auc():
    """Five in a hundred are certain: the AUC is 0.525, and they are found without false positives."""
    share = 0.05
    found = attack(leaks.marked(N, share), 0)
    error = math.sqrt(share * (1 - share) / (N / 2))
    assert found["threshold"].auc == pytest.approx(0.5 + share / 2, abs=FOUR_ERRORS)
    assert found["threshold"].tpr[0] == pytest.approx(share, abs=4 * error)
    for name in ("logistic_regression", "mlp", "random_forest", "knn"):
        assert found[name].tpr[1] > share / 2, name


def test_random_membership_gives_the_auc_of_chance():
    found = aucs(leaks.lower_losses(N, 0.0, seed=1), seed=1)
    for name in ATTACKS:
        assert found[name] == pytest.approx(0.5, abs=FOUR_ERRORS), name


def test_no_attack_is_tested_on_the_half_it_was_fitted_on(monkeypatch):
    """One nearest neighbour memorizes its half: tested on it, it would have AUC 1."""
    from sklearn.neighbors import KNeighborsClassifier

    from rcig_cli.privacy import attacks

    monkeypatch.setattr(attacks, "_learners", lambda *_: {"knn": KNeighborsClassifier(1)})
    monkeypatch.setattr(attacks, "ATTACKS", ("knn",))
    found = aucs(leaks.lower_losses(N, 0.0))
    assert found["knn"] == pytest.approx(0.5, abs=FOUR_ERRORS)


@pytest.mark.parametrize("n", [4, 6, 180, 1000])
def test_the_halves_are_disjoint_and_balanced(n):
    members = np.arange(2 * n) < n
    learned, judged = halves(members, 3)
    assert sorted([*learned, *judged]) == list(range(2 * n))
    assert members[learned].sum() == members[judged].sum() == n // 2
    assert not np.array_equal(learned, halves(members, 4)[0])


def test_four_members_and_four_non_members_are_enough():
    for found in attack(leaks.lower_losses(4, 1.0), 0).values():
        assert 0 <= found.auc <= 1


def test_the_loss_is_that_of_the_training():
    import jax.numpy as jnp

    from rcig_cli.distillation.records import centred_one_hot

    random = np.random.default_rng(0)
    logits, classes = random.normal(size=(20, 3)), random.integers(3, size=20).astype(np.int32)
    labels = np.asarray(centred_one_hot(jnp.asarray(classes), 3))
    expected = ((logits - labels) ** 2).mean(axis=1)
    assert squared_errors(logits, classes) == pytest.approx(expected, rel=1e-6)
    assert observe(logits, classes, classes > 0).features.shape == (20, 4)


def test_the_logarithm_of_a_loss_of_zero_is_finite():
    seen = Observations(np.zeros((2, 3)), np.array([0.0, 1e-3]), np.array([True, False]))
    assert np.isfinite(seen.features).all()
    assert seen.features[0, -1] < seen.features[1, -1]
