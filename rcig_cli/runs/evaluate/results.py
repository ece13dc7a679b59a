"""The results of an evaluation, and how they are stored.  Needs no JAX."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rcig_cli.presets.paper import PaperResult
from rcig_cli.presets.set_size import SetSize
from rcig_cli.reporting.formatting import decimal, describe_protocol, describe_size, percent
from rcig_cli.runs.evaluate.scores import Scores


@dataclass(frozen=True)
class Spread:
    """Values of one quantity, such as the test accuracies of several networks, as fractions of 1."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Their standard deviation (of the population, as the papers report it)."""
        return float(np.std(self.values))

    @property
    def percent(self) -> str:
        """Mean and, of several values, standard deviation in percent."""
        return percent(self.mean, self.std if len(self.values) > 1 else None)

    @property
    def decimal(self) -> str:
        """Mean and, of several values, standard deviation with three decimals."""
        return decimal(self.mean, self.std if len(self.values) > 1 else None)

    def to_json(self) -> dict[str, Any]:
        """Return mean, standard deviation and values."""
        return {"mean": self.mean, "std": self.std, "values": list(self.values)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Spread":
        """Read what `to_json` returned."""
        return cls(tuple(document["values"]))


@dataclass(frozen=True)
class LearningRateChoice:
    """The learning rate that was chosen, and what the choice rests on.

    Attributes
    ----------
    chosen
        The learning rate with the highest accuracy.
    accuracies
        Accuracy on the held-out training images with each learning rate, as a fraction of 1.
    held_out
        How many training images were held out.
    """

    chosen: float
    accuracies: Mapping[float, float]
    held_out: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        tried = [{"lr": rate, "accuracy": value} for rate, value in self.accuracies.items()]
        return {"chosen": self.chosen, "tried": tried, "held_out": self.held_out}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "LearningRateChoice":
        """Read what `to_json` returned."""
        tried = {each["lr"]: each["accuracy"] for each in document["tried"]}
        return cls(document["chosen"], tried, document["held_out"])


@dataclass(frozen=True, repr=False)
class Evaluation:
    """Test accuracy of networks trained on a distilled set.

    Attributes
    ----------
    run
        The run that was evaluated.
    protocol
        Architecture, norm, steps, learning rate, seed and so on: every setting of `EvaluationProtocol`.
    accuracy
        Of the networks trained on the distilled set.
    random_subset
        Of networks trained on random real images, ``ipc`` of each class: those of the same bytes, which are
        fewer than the images of a parametrized set.  None without baseline.
    paper
        The accuracy that the paper reports for this case, or None.  The paper's sets are all raw.
    size
        What the set stores, its bytes and number of images.
    full_data, full_epochs
        Of networks trained on all real images, and for how many epochs, if that was asked for.
    scores
        DD-Ranking's scores, if they were asked for.
    extensions
        What was used of the user's own code (``docs/extending.md``), by reference: what identifies it.
    lr_choices
        With ``choose_lr``: the learning rate that was chosen for ``"set"`` and for ``"random_subset"``.
    """

    run: str
    protocol: Mapping[str, Any]
    accuracy: Spread
    random_subset: Spread | None
    paper: PaperResult | None
    size: SetSize
    full_data: Spread | None = None
    full_epochs: int | None = None
    scores: Scores | None = None
    extensions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    lr_choices: Mapping[str, LearningRateChoice] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all but the run's name as JSON values."""
        return {
            "architecture": self.protocol["arch"],
            "normalization": self.protocol["norm"],
            "augment": self.protocol["augment"],
            "hard_labels": self.protocol["hard_labels"],
            "accuracy": self.accuracy.to_json(),
            "random_subset": self.random_subset.to_json() if self.random_subset else None,
            "paper": asdict(self.paper) if self.paper else None,
            "full_data": self.full_data.to_json() if self.full_data else None,
            "full_epochs": self.full_epochs,
            "scores": self.scores.to_json() if self.scores else None,
            **self.size.to_json(),
            "protocol": dict(self.protocol),
            "extensions": dict(self.extensions),
            "lr_choices": {name: each.to_json() for name, each in self.lr_choices.items()},
        }

    @classmethod
    def from_json(cls, run: str, document: Mapping[str, Any]) -> "Evaluation":
        """Read what `to_json` returned."""
        random, paper = document["random_subset"], document["paper"]
        full_data, scores = document.get("full_data"), document.get("scores")
        return cls(
            run,
            document["protocol"],
            Spread.from_json(document["accuracy"]),
            Spread.from_json(random) if random else None,
            PaperResult(**paper) if paper else None,
            SetSize.from_json(document),
            Spread.from_json(full_data) if full_data else None,
            document.get("full_epochs"),
            Scores.from_json(scores) if scores else None,
            document.get("extensions", {}),
            {
                name: LearningRateChoice.from_json(each)
                for name, each in document.get("lr_choices", {}).items()
            },
        )

    def __repr__(self) -> str:
        random = f", random subset {self.random_subset.percent}" if self.random_subset else ""
        paper = f", paper {percent(self.paper.mean, self.paper.std)}" if self.paper else ""
        everything = f", all real images {self.full_data.percent}" if self.full_data else ""
        return (
            f"Test accuracy: {self.run} {self.accuracy.percent}{random}{everything}{paper}\n"
            f"({describe_protocol(self.protocol)})\n"
            f"{describe_size(self.size)}"
        )
