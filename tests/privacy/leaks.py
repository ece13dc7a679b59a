"""Attack data with leaks whose size is known in closed form."""

import math

import numpy as np

from rcig_cli.privacy.attacks import Observations

CLASSES = 10


def normal_cdf(x):
    return (1 + math.erf(x / math.sqrt(2))) / 2


def noise(n, seed=0):
    """Logits and log losses of n members and n others, all the same Gaussian noise; and a generator."""
    random = np.random.default_rng(seed)
    members = np.arange(2 * n) < n
    return random.normal(size=(2 * n, CLASSES)), random.normal(size=2 * n), members, random


def seen(logits, log_losses, members):
    return Observations(logits, np.exp(log_losses), members)


def lower_losses(n, d, seed=0):
    """Members' log losses are d deviations lower: the best attack has AUC Phi(d / sqrt 2)."""
    logits, log_losses, members, _ = noise(n, seed)
    return seen(logits, log_losses - d * members, members)


def marked(n, share, seed=0):
    """Some members have a loss that no other example has: the best attack has AUC 1/2 + share/2."""
    logits, log_losses, members, random = noise(n, seed)
    known = members & (random.random(2 * n) < share)
    return seen(logits, np.where(known, -8 + 0.1 * log_losses, log_losses), members)


def separable(n, seed=0):
    """Every member has a lower loss than every other example."""
    logits, log_losses, members, _ = noise(n, seed)
    return seen(logits, 0.3 * log_losses - 6 * members, members)
