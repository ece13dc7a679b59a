"""LiRA, the likelihood-ratio attack.

Carlini et al., "Membership inference attacks from first principles", 2022:

    phi   = log( p_y / (1 - p_y) ), p = softmax(logits), y the true class
    in    = phi of networks trained with the example, out = of networks trained without it
    online    score = log N(phi; mean_in, var_in) - log N(phi; mean_out, var_out)
    offline   score = (phi - mean_out) / sqrt(var_out), which ranks as 1 - Pr[N(mean_out, var_out) > phi]

Each example has its own means.  With 64 shadow networks or more it has its own variances too; fewer networks
are not enough to estimate these, so all examples share the mean variance.
"""

import numpy as np
import numpy.typing as npt

from rcig_cli.privacy.roc import Bools, Floats

OWN_VARIANCES_FROM = 64  # shadow networks

_LEAST_VARIANCE = 1e-12


def confidences(logits: Floats, classes: npt.NDArray[np.int32]) -> Floats:
    """Return phi ``[n]`` of logits ``[n, C]`` and true classes ``[n]``, finite for any finite logits."""
    rows = np.arange(len(classes))
    others = logits.astype(np.float64)
    own = others[rows, classes]
    others[rows, classes] = -np.inf
    highest = others.max(axis=1)
    # log(p / (1 - p)) = own logit - log of the sum of the others' exponentials
    spread = np.log(np.exp(others - highest[:, None]).sum(axis=1))
    phi: Floats = own - highest - spread
    return phi


def inclusion(shadows: int, examples: int, random: np.random.Generator) -> Bools:
    """Draw which examples each shadow network is trained on, ``[shadows, examples]``.

    Each has half of the examples, rounded down or up.  The second of a pair has those that the first doesn't,
    so each example is in half of the training sets.

    Parameters
    ----------
    shadows
        An even number.
    examples
        Number of examples.
    random
        The random generator.
    """
    first = np.zeros((shadows // 2, examples), np.bool_)
    for row in first:
        row[random.permutation(examples)[: examples // 2]] = True
    return np.stack([first, ~first], axis=1).reshape(shadows, examples)


def online_scores(target: Floats, shadows: Floats, inside: Bools) -> Floats:
    """Score examples, higher for members.

    Parameters
    ----------
    target
        phi for the attacked network, ``[n]``.
    shadows
        phi for the shadow networks, ``[S, n]``.
    inside
        Which shadow network was trained with which example, ``[S, n]``; each example is at least once in a
        training set and once not.
    """
    scores: Floats = _log_density(target, shadows, inside) - _log_density(target, shadows, ~inside)
    return scores


def offline_scores(target: Floats, shadows: Floats, outside: Bools) -> Floats:
    """Score examples with networks trained without them only, higher for members.

    Parameters
    ----------
    target, shadows
        As for `online_scores`.
    outside
        Which shadow network was trained without which example, ``[S, n]``; each example at least once.
    """
    mean, variance = _moments(shadows, outside)
    scores: Floats = (target - mean) / np.sqrt(variance)
    return scores


def _log_density(target: Floats, shadows: Floats, which: Bools) -> Floats:
    """Return the logarithm of the density of the fitted Gaussian, up to a constant."""
    mean, variance = _moments(shadows, which)
    density: Floats = -0.5 * ((target - mean) ** 2 / variance + np.log(variance))
    return density


def _moments(shadows: Floats, which: Bools) -> tuple[Floats, Floats]:
    """Return mean and variance ``[n]`` for each example over the networks selected for it."""
    count = which.sum(axis=0)
    mean = np.where(which, shadows, 0).sum(axis=0) / count
    squares = np.where(which, (shadows - mean) ** 2, 0).sum(axis=0)
    if len(shadows) >= OWN_VARIANCES_FROM:
        variance = squares / np.maximum(count - 1, 1)
    else:
        variance = np.broadcast_to(squares.sum() / max(1, (count - 1).sum()), mean.shape)
    return mean, np.maximum(variance, _LEAST_VARIANCE)
