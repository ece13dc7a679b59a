"""Learning rates of the two Adam solves: as high as possible while the losses fall (paper, S3).

Each is tuned before the first step, and adapted after every 50 of its solves to how many of them diverged.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.bilevel.solvers import Solution

GROWTH = 1.2  # factor between two trials of tuning
RETREAT = 0.7  # factor after the first trial in which the losses don't fall
LONGEST_TUNING = 100  # trials; 1.2^100 is 8e7

ADAPT_EVERY = 50  # solves; an outer step has one for each of its pool models
DIVERGED_SHARE, DIVERGED_FACTOR = 0.29, 0.9
MONOTONE_SHARE, MONOTONE_FACTOR = 0.70, 1.05


class Counts(NamedTuple):
    """Counts of solves: all, those that diverged, and those with monotone progress; ``[]`` int32."""

    solves: Array
    diverged: Array
    monotone: Array


class Rate(NamedTuple):
    """A learning rate ``[]``, and counts of its solves since it was last adapted."""

    value: Array
    counts: Counts


def start_rate(value: float) -> Rate:
    """Return a rate with all counts at zero."""
    # Three separate arrays: a step that donates its state can't be given the same array twice.
    return Rate(jnp.asarray(value, jnp.float32), Counts(*(jnp.zeros((), jnp.int32) for _ in range(3))))


def tune(rate: float, is_monotone: Callable[[float], bool]) -> float:
    """Raise a rate while ``is_monotone(rate)``, whether the losses of a solve fall; then lower it once."""
    for _ in range(LONGEST_TUNING):
        if not is_monotone(rate):
            break
        rate *= GROWTH
    return rate * RETREAT


def count(solution: Solution) -> Counts:
    """Count one solve."""
    flags = jnp.ones((), bool), solution.diverged, solution.monotone
    return Counts(*(flag.astype(jnp.int32) for flag in flags))


def adapt(rate: Rate, more: Counts) -> Rate:
    """Add counts; of 50 solves or more, lower a rate if many diverge, raise it if most are monotone."""
    counts: Counts = jax.tree.map(jnp.add, rate.counts, more)
    due = counts.solves >= ADAPT_EVERY
    lower = counts.diverged >= DIVERGED_SHARE * counts.solves
    higher = ~lower & (counts.monotone >= MONOTONE_SHARE * counts.solves)
    factor = jnp.where(lower, DIVERGED_FACTOR, jnp.where(higher, MONOTONE_FACTOR, 1.0))
    value = jnp.where(due, rate.value * factor.astype(rate.value.dtype), rate.value)
    return Rate(value, jax.tree.map(lambda n: jnp.where(due, 0, n), counts))
