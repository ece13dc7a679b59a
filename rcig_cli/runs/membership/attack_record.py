"""What attacks on membership found, by target: over networks, over runs, and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcig_cli.presets.paper_privacy import PaperAttack
from rcig_cli.privacy.attacks import ATTACKS
from rcig_cli.privacy.roc import FALSE_POSITIVE_RATES, Success
from rcig_cli.reporting import formatting as words
from rcig_cli.runs.evaluate.spread import Spread

# What networks are trained on, in the order of the paper's tables.
TARGETS = tuple(words.TARGETS)


@dataclass(frozen=True)
class Found:
    """What was found of one network at one stop of its training.

    Attributes
    ----------
    accuracy
        Of the network on the test images, as a share of 1.
    attacks
        How well each attack did.
    """

    accuracy: float
    attacks: Mapping[str, Success]


@dataclass(frozen=True)
class Lira:
    """How well LiRA did.

    Attributes
    ----------
    kind
        "online", from shadow networks with and without each example, or "offline", from those without.
    members, non_members
        How many were to be told apart.
    shadows
        Networks that were compared with.
    successes
        One for each network attacked.
    """

    kind: str
    members: int
    non_members: int
    shadows: int
    successes: tuple[Success, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        numbers = {"members": self.members, "non_members": self.non_members, "shadows": self.shadows}
        return {"kind": self.kind, **numbers, **_judged(self.successes)}


@dataclass(frozen=True)
class Target:
    """What was found of the networks trained on one thing.

    Attributes
    ----------
    found
        One entry for each network, by the steps it had been trained for, rising.
    lira
        After the last of these steps; a result for each run, none where it was not asked for or not possible.
    paper
        What the paper reports, or None.
    """

    found: Mapping[int, tuple[Found, ...]]
    lira: tuple[Lira, ...] = ()
    paper: PaperAttack | None = None

    @property
    def last(self) -> tuple[Found, ...]:
        """What was found at the end of the trainings."""
        return self.found[max(self.found)]

    def successes(self, attack: str) -> list[Success]:
        """How well an attack, or "lira", did at the end, on each network."""
        if attack == "lira":
            return [one for each in self.lira for one in each.successes]
        return [one.attacks[attack] for one in self.last]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values: the end of the trainings, and every stop."""
        return {
            **_found(self.last),
            "lira": [one.to_json() for one in self.lira],
            "steps": {str(steps): _found(found) for steps, found in self.found.items()},
            "paper": _paper(self.paper) if self.paper else None,
        }


def merged(targets: Sequence[Target]) -> Target:
    """What was found of the same target in several runs, attacked by the same protocol."""
    return Target(
        {steps: tuple(one for each in targets for one in each.found[steps]) for steps in targets[0].found},
        tuple(one for each in targets for one in each.lira),
        targets[0].paper,
    )


def _spread(values: Iterable[float]) -> dict[str, Any]:
    return Spread(tuple(values)).to_json()


def _found(found: Sequence[Found]) -> dict[str, Any]:
    by_attack = {name: [one.attacks[name] for one in found] for name in ATTACKS}
    judged = {name: _judged(successes) for name, successes in by_attack.items()}
    return {
        "accuracy": _spread(one.accuracy for one in found),
        "auc": {name: each["auc"] for name, each in judged.items()},
        "tpr": {name: each["tpr"] for name, each in judged.items()},
    }


def _judged(successes: Sequence[Success]) -> dict[str, Any]:
    tpr = {str(rate): [one.tpr[at] for one in successes] for at, rate in enumerate(FALSE_POSITIVE_RATES)}
    return {
        "auc": _spread(one.auc for one in successes),
        "tpr": {rate: _spread(values) for rate, values in tpr.items()},
    }


def _paper(paper: PaperAttack) -> dict[str, Any]:
    def cell(numbers: tuple[float, float]) -> dict[str, float]:
        return {"mean": numbers[0], "std": numbers[1]}

    auc = {attack: cell(numbers) for attack, numbers in paper.auc.items()}
    return {"accuracy": cell(paper.accuracy), "auc": auc, "where": paper.where}
