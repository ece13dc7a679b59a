"""Tuning and adapting the learning rates of the two Adam solves."""

import jax.numpy as jnp
import pytest

from rcig_cli.distillation.bilevel.learning_rates import (
    ADAPT_EVERY,
    LONGEST_TUNING,
    Counts,
    adapt,
    count,
    start_rate,
    tune,
)
from rcig_cli.distillation.bilevel.solvers import Solution


def test_tuning_stops_below_the_highest_rate_at_which_losses_fall():
    tuned = tune(1e-5, lambda rate: rate < 1e-3)
    assert 0.7e-3 <= tuned < 0.7 * 1.2e-3


def test_tuning_lowers_a_start_that_is_too_high():
    assert tune(1.0, lambda _: False) == pytest.approx(0.7)


def test_tuning_ends_where_no_solve_diverges():
    assert tune(1e-5, lambda _: True) == pytest.approx(0.7e-5 * 1.2**LONGEST_TUNING)


def counts(*numbers):
    return Counts(*map(jnp.int32, numbers))


@pytest.mark.parametrize(
    ("diverged", "monotone", "expected"),
    [(14, 36, 1.05), (15, 35, 0.9), (0, 35, 1.05), (0, 34, 1.0), (14, 0, 1.0), (50, 0, 0.9)],
)
def test_adapting_after_fifty_solves(diverged, monotone, expected):
    adapted = adapt(start_rate(1.0), counts(ADAPT_EVERY, diverged, monotone))
    assert float(adapted.value) == pytest.approx(expected)
    assert adapted.counts == (0, 0, 0)


def test_before_that_solves_are_counted_only():
    before = adapt(start_rate(1.0), counts(ADAPT_EVERY - 3, 40, 0))
    assert (before.value, before.counts) == (1, (ADAPT_EVERY - 3, 40, 0))
    assert adapt(before, counts(2, 1, 1)).counts == (ADAPT_EVERY - 1, 41, 1)


@pytest.mark.parametrize(
    ("progress", "diverged", "monotone"),
    [
        ([3.0, 2.0, 1.0], 0, 1),
        ([3.0, 4.0, 1.0], 0, 0),
        ([3.0, 2.0, 4.0], 1, 0),
        ([3.0, 2.0, float("nan")], 1, 0),
        ([3.0, float("inf"), 1.0], 0, 0),
    ],
)
def test_counting_how_a_solve_went(progress, diverged, monotone):
    assert count(Solution(None, jnp.array(progress))) == (1, diverged, monotone)
