"""Choosing the learning rate of an evaluation by accuracy on training images, never on test images.

The images are a fixed tenth of the training images, at most 5000.  Random subsets leave them out while
learning rates are compared.  A distilled set was learned from all training images, these included.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.subset import held_out
from rcig_cli.errors import ConfigError
from rcig_cli.reporting.formatting import count_of, percent
from rcig_cli.runs.evaluate.measurement import Measure, Sets
from rcig_cli.runs.evaluate.results import LearningRateChoice
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report

_MOST = 5000  # images that are held out
_SEED = 4  # of the order in which they are
_STREAM = 5  # of the random numbers of networks that are trained to compare learning rates


@dataclass(frozen=True)
class HeldOut:
    """Training images on which learning rates are compared.

    Attributes
    ----------
    rows
        Their indices among the training images, ``[m]``.
    images, labels
        ``[m, H, W, c]`` and ``[m]``.
    """

    rows: npt.NDArray[np.int64]
    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int32]

    @classmethod
    def of(cls, prepared: Prepared) -> "HeldOut":
        """Hold out a tenth of the training images, of each class, and at most 5000.

        Raises
        ------
        ConfigError
            If there is only one training image of each class.
        """
        labels = prepared.labels("train")
        count = min(_MOST, max(1, len(labels) // 10), len(labels) - prepared.classes)
        if count < 1:
            raise ConfigError(
                f"{prepared.name} has one training image of each class, so none can be held out for "
                "choose_lr: give lr."
            )
        rows = np.flatnonzero(held_out(labels, count, _SEED))
        return cls(rows, prepared.stored("train")[rows], labels[rows])


def choose_lr(
    learning_rates: Sequence[float],
    measure_at: Callable[[float], Measure],
    validation: HeldOut,
    sets: Sets,
    of: str,
    report: Report,
) -> LearningRateChoice:
    """Train one network with each learning rate; return the one with which it is the most accurate.

    Parameters
    ----------
    learning_rates
        To choose from.
    measure_at
        From a learning rate to a function that trains with it.
    validation
        The images on which accuracy is measured.
    sets
        What the networks are trained on; random subsets must not contain images that are held out.
    of
        What it is, for messages.
    report
        Receives the choice and progress.
    """
    images = validation.images, validation.labels
    accuracies = {
        lr: measure_at(lr)(_STREAM, sets, f"trying the learning rate {lr:g} on {of}", 1, images).mean
        for lr in learning_rates
    }
    choice = LearningRateChoice(
        max(accuracies, key=lambda lr: accuracies[lr]), accuracies, len(validation.rows)
    )
    found = ", ".join(f"{percent(accuracy)} with {lr:g}" for lr, accuracy in accuracies.items())
    report.note(
        f"The learning rate {choice.chosen:g} was chosen for {of}, by the accuracy on "
        f"{count_of(choice.held_out, 'held-out training image')}: {found}."
    )
    return choice
