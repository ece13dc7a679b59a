"""Defaults of runs that are shorter than the paper's.

The paper's learning rate of images and labels, 0.003, is right for its 15 000 steps.  In a few hundred steps
RCIG comes further with a higher one: test accuracy on CIFAR-10, 1 image per class, width 32, batch 256,
three networks (a random subset: 18.7 %):

    rate     100 steps   300 steps
    0.003    28.5        35.9
    0.01     33.8        39.1
    0.02     36.8        39.4

A rate that falls along a cosine gains nothing.  Fewer and larger training steps of the pool models, and fewer
iterations of conjugate gradients, give about the same accuracy and save a quarter of the time or more.

So it is with FRePo and RFAD, which learn images and labels in the same way (1000 steps of 128 images, two
networks each):

    rate     FRePo   FRePo, pool as below        RFAD
    0.003    37.7                                41.1
    0.02     40.7    40.3, in 0.7 of the time    43.8

docs/appendix/results-short-runs.md has these measurements.
"""

import math
from collections.abc import Mapping
from typing import Any

# A run is short if it has less than this share of the steps that the paper takes.
SHORT = 0.5

# The learning rate of images and labels in runs of at most this share of the paper's steps.  In longer runs
# it falls as a power of the number of steps, to the paper's rate at the paper's number.
_HIGHEST_RATE, _UP_TO, _PAPERS_RATE = 0.02, 0.1, 0.003

# Only for these algorithms was it measured.
_ALGORITHMS = ("rcig", "frepo", "rfad")

# After each outer step the paper's pool trains a model by 8 steps of 5e-5, on average, and replaces it after
# 100.  This one trains it by 2.5 steps of 6e-4, which is quicker, and replaces it after 40, so that all
# thirty models are replaced every 480 outer steps.  When they are replaced more slowly, the set is fitted to
# these thirty models and not to others.
_POOL = {"pool_lr": 6e-4, "pool_steps": 4, "pool_max_steps": 40}

# Iterations of conjugate gradients by the largest number of images for which they are enough at these rates
# (docs/appendix/results-solvers.md).  With ten images the error of the meta-gradient is 7 % with 3 + 3 and
# 23 % with 2 + 2.  With 100 images accuracy rises no faster per step with 8 + 4 than with 4 + 4.
_ITERATIONS = {10: 3, 100: 4}


def short_run_defaults(
    algorithm: str, images: int, given: Mapping[str, Any], *, usual: int, preset: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the defaults of a short run; none for a run that is not, or whose preset has its own rates.

    A method may have only some of these settings: RFAD has no pool to train, and only RCIG has inner solves.

    Parameters
    ----------
    algorithm
        The method of distillation.
    images
        Number of distilled images that networks see.
    given
        Settings given by the user, by name.
    usual
        Outer steps of the preset.
    preset
        The settings of the preset.
    """
    share = given.get("steps", usual) / usual
    if "image_lr" in preset or share >= SHORT or algorithm not in _ALGORITHMS:
        return {}
    rate = _rate(share)
    chosen = {"image_lr": rate, "label_lr": rate, **_POOL}
    enough = [count for most, count in _ITERATIONS.items() if images <= most]
    if given.get("solver", "cg") == "cg" and enough:
        chosen |= {"inner_steps": enough[0], "hessian_steps": enough[0]}
    return chosen


def _rate(share: float) -> float:
    """Return the learning rate of images and labels for a share of the paper's steps, with two digits."""
    power = math.log(_HIGHEST_RATE / _PAPERS_RATE) / math.log(_UP_TO)
    return float(f"{min(_HIGHEST_RATE, _PAPERS_RATE * share**power):.2g}")
