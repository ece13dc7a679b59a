"""Learning rates of the two Adam solves: as high as possible while the losses fall (paper, S3).

Before the first step each is tuned; every 50 steps each is adapted to how many of its solves diverged.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.bilevel.solvers import Solution

GROWTH = 1.2  # factor between two trials of tuning
RETREAT = 0.7  # factor after the first trial in which the losses don't fall
LONGEST_TUNING = 100  # tries; 1.2^100 is 8e7

ADAPT_EVERY = 50  # outer steps
DIVERGED_SHARE, DIVERGED_FACTOR = 0.29, 0.9
MONOTONE_SHARE, MONOTONE_FACTOR = 0.70, 1.05


class Rate(NamedTuple):
    """A learning rate, and counts of its solves since it was last adapted.

    Attributes
    ----------
    value
        The learning rate, ``[]``.
    solves, diverged, monotone
        Counts, ``[]`` int32.
    """

    value: Array
    solves: Array
    diverged: Array
    monotone: Array


class Tally(NamedTuple):
    """Counts of solves: all, those that diverged, and those with monotone progress; ``[]`` int32."""

    solves: Array
    diverged: Array
    monotone: Array


def start_rate(value: float | Array) -> Rate:
    """Return a rate with all counts at zero."""
    # Three separate arrays: a step that donates its state can't be given the same array twice.
    return Rate(jnp.asarray(value, jnp.float32), *(jnp.zeros((), jnp.int32) for _ in range(3)))


def tune(rate: float, is_monotone: Callable[[float], bool]) -> float:
    """Raise a rate while the losses of a solve fall monotonically, then lower it once.

    Parameters
    ----------
    rate
        Where to start.
    is_monotone
        Whether a solve at a given rate has falling losses.
    """
    for _ in range(LONGEST_TUNING):
        if not is_monotone(rate):
            break
        rate *= GROWTH
    return rate * RETREAT


def tally(solution: Solution) -> Tally:
    """Count one solve."""
    flags = jnp.ones((), bool), solution.diverged, solution.monotone
    return Tally(*(flag.astype(jnp.int32) for flag in flags))


def count(rate: Rate, solves: Tally) -> Rate:
    """Count more solves."""
    return Rate(rate.value, *(a + b for a, b in zip(rate[1:], solves, strict=True)))


def adapt(rate: Rate) -> Rate:
    """Once every 50 solves: lower a rate whose solves diverge, raise one whose solves are monotone."""
    due = rate.solves >= ADAPT_EVERY
    lower = rate.diverged >= DIVERGED_SHARE * rate.solves
    higher = ~lower & (rate.monotone >= MONOTONE_SHARE * rate.solves)
    factor = jnp.where(lower, DIVERGED_FACTOR, jnp.where(higher, MONOTONE_FACTOR, 1.0))
    value = jnp.where(due, rate.value * factor.astype(rate.value.dtype), rate.value)
    return Rate(value, *(jnp.where(due, 0, n) for n in rate[1:]))
