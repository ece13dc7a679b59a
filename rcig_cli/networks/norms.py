"""The norms that all networks share.

    norm(a) = scale (a - mean) / sqrt(variance + 1e-5) + bias

================  ====================================================  ==================
norm              mean and variance over                                scale and bias per
================  ====================================================  ==================
``none``          (no norm)
``batch``         images and pixels, for each channel                   channel
``instance``      pixels, for each image and channel                    channel
``layer``         pixels and channels, for each image                   pixel and channel
``group``         pixels and a quarter of the channels, for each image  channel
================  ====================================================  ==================

Layer norm and group norm are as in the data set distillation literature.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
from jax import Array

GROUPS = 4  # into which group norm divides the channels
_EPSILON = 1e-5


class Statistics(NamedTuple):
    """Which statistics a batch norm divides by.

    Attributes
    ----------
    own
        Whether those of the current batch, rather than the running ones.
    momentum
        Weight of the old running statistics when a batch updates them.
    """

    own: bool
    momentum: float = 0.9


RUNNING, TRAINING = Statistics(own=False), Statistics(own=True)
THIS_BATCH = Statistics(own=True, momentum=0.0)


def norm_layer(norm: str, statistics: Statistics) -> Callable[[Array], Array]:
    """Return a norm of maps ``[b, H, W, c]``, as a layer of the module that is being defined.

    Parameters
    ----------
    norm
        One of `architectures.NORMS`.
    statistics
        Which statistics a batch norm divides by; its running ones are kept in ``batch_stats``.
    """
    if norm == "none":
        return lambda a: a
    if norm == "batch":
        return nn.BatchNorm(not statistics.own, epsilon=_EPSILON, momentum=statistics.momentum)
    # The other norms take variances of few, sometimes nearly equal numbers, which E[a^2] - E[a]^2 would round
    # away.
    if norm == "instance":
        return nn.InstanceNorm(epsilon=_EPSILON, use_fast_variance=False)
    if norm == "group":
        return nn.GroupNorm(GROUPS, epsilon=_EPSILON, use_fast_variance=False)
    whole = (1, 2, 3)
    return nn.LayerNorm(epsilon=_EPSILON, reduction_axes=whole, feature_axes=whole, use_fast_variance=False)
