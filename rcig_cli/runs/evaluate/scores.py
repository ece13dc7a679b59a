"""DD-Ranking's scores of a distilled set, from accuracies as fractions of 1.

    HLR = accuracy(all real images) - accuracy(set with hard labels)      hard-label recovery, better if lower
    IOR = accuracy(set) - accuracy(random subset)                         improvement over random
    LRS = m( w IOR - (1 - w) HLR )                                          label-robust score, w = 1/2
    ARS = m( g (set - random, augmented) + (1 - g) (set - random) )         augmentation-robust score, g = 1/2
    m(a) = (e^a - e^-1) / (e - e^-1),  so that -1 gives 0 and 1 gives 1

Source: the definitions in the README of DD-Ranking (2025).  They are computed here with networks trained by
the protocol of the evaluation, not by DD-Ranking's own, so the values can't be compared with its leaderboard.
"""

import math
from dataclasses import asdict, dataclass

WEIGHT_OF_IMPROVEMENT = 0.5  # w
WEIGHT_OF_AUGMENTED = 0.5  # g


@dataclass(frozen=True)
class Scores:
    """DD-Ranking's scores, and the mean accuracies that they follow from, all as fractions of 1.

    Attributes
    ----------
    full_data
        Of networks trained on all real images.
    hard_labels
        Trained on the set with hard labels.
    set, random
        Trained on the set and on random subsets, by the protocol.
    improvement_plain, improvement_augmented
        Accuracy on the set less that on random subsets, without and with augmentation; one of them is `ior`.
    """

    full_data: float
    hard_labels: float
    set: float
    random: float
    improvement_plain: float
    improvement_augmented: float

    @property
    def hlr(self) -> float:
        """What hard labels lose against all real images."""
        return self.full_data - self.hard_labels

    @property
    def ior(self) -> float:
        """The improvement over random subsets."""
        return self.set - self.random

    @property
    def lrs(self) -> float:
        """The label-robust score, from 0 to 1."""
        return _mapped(WEIGHT_OF_IMPROVEMENT * self.ior - (1 - WEIGHT_OF_IMPROVEMENT) * self.hlr)

    @property
    def ars(self) -> float:
        """The augmentation-robust score, from 0 to 1."""
        augmented, plain = self.improvement_augmented, self.improvement_plain
        return _mapped(WEIGHT_OF_AUGMENTED * augmented + (1 - WEIGHT_OF_AUGMENTED) * plain)

    def to_json(self) -> dict[str, float]:
        """Return the scores and the accuracies."""
        return {"hlr": self.hlr, "ior": self.ior, "lrs": self.lrs, "ars": self.ars, **asdict(self)}

    @classmethod
    def from_json(cls, document: dict[str, float]) -> "Scores":
        """Read what `to_json` returned."""
        return cls(**{name: document[name] for name in cls.__dataclass_fields__})


def _mapped(a: float) -> float:
    return (math.exp(a) - math.exp(-1)) / (math.e - math.exp(-1))
