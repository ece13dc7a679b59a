"""What was measured several times: on several networks, or in several runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Values of one quantity, such as the test accuracies of several networks, as shares of 1."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Their standard deviation (of the population, as the papers report it)."""
        return float(np.std(self.values))

    def to_json(self) -> dict[str, Any]:
        """Mean, standard deviation and the values."""
        return {"mean": self.mean, "std": self.std, "values": list(self.values)}
