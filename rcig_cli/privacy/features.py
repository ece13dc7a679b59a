"""What an attacker sees of an example: the network's logits, and its loss at the example's true class.

The loss is the one the networks are trained with, the mean squared error to the centred one-hot label: after
a training that has forgotten nothing it is near 0 for every member, whatever the margin.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcig_cli.privacy.roc import Bools, Floats

_LEAST_LOSS = 1e-12  # below it, float32 logits of order 1 say nothing


@dataclass(frozen=True, eq=False)
class Seen:
    """What an attacker sees of n examples, and what is to be found out.

    Attributes
    ----------
    logits
        ``[n, C]``.
    losses
        ``[n]``, not negative.
    members
        bool ``[n]``: who was in the data.
    """

    logits: Floats
    losses: Floats
    members: Bools

    @property
    def features(self) -> Floats:
        """Logits and the loss's logarithm, ``[n, C + 1]``: losses differ by orders of magnitude."""
        return np.column_stack([self.logits, np.log(np.maximum(self.losses, _LEAST_LOSS))])


def see(logits: Floats, classes: npt.NDArray[np.int32], members: Bools) -> Seen:
    """Look at logits ``[n, C]`` of examples of known classes ``[n]``."""
    return Seen(logits, squared_errors(logits, classes), members)


def squared_errors(logits: Floats, classes: npt.NDArray[np.int32]) -> Floats:
    """Mean squared error ``[n]`` of logits ``[n, C]`` to the centred one-hot labels of classes ``[n]``."""
    count = logits.shape[1]
    labels = (classes[:, None] == np.arange(count)) - 1 / count
    errors: Floats = ((logits.astype(np.float64) - labels) ** 2).mean(axis=1)
    return errors
