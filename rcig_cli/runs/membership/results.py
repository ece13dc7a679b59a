"""Results of membership inference attacks by target, over networks and over runs, as JSON and as curves."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.errors import ConfigError
from rcig_cli.presets.paper_privacy import PaperAttack
from rcig_cli.privacy.attacks import ATTACKS
from rcig_cli.privacy.roc import FALSE_POSITIVE_RATES, Success, chance_error, false_positives
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.reporting.formatting import TARGETS as TITLES
from rcig_cli.runs.evaluate.evaluate import Spread
from rcig_cli.runs.membership.protocol import AttackProtocol
from rcig_cli.store.files import make_folder, write_bytes_atomically

# What networks are trained on, in the order of the paper's tables.
TARGETS = tuple(TITLES)


@dataclass(frozen=True)
class NetworkResult:
    """The results on one network after some training steps.

    Attributes
    ----------
    accuracy
        Of the network on the test images, as a fraction of 1.
    attacks
        Success of each of the five attacks.
    """

    accuracy: float
    attacks: Mapping[str, Success]


@dataclass(frozen=True)
class LiraResult:
    """The results of LiRA on one run.

    Attributes
    ----------
    kind
        "online": with shadow networks trained with and without each example; "offline": only without.
    members, non_members
        Number of examples.
    shadows
        Number of shadow networks.
    successes
        One for each attacked network.
    """

    kind: str
    members: int
    non_members: int
    shadows: int
    successes: tuple[Success, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        numbers = {"members": self.members, "non_members": self.non_members, "shadows": self.shadows}
        return {"kind": self.kind, **numbers, **_success_to_json(self.successes)}


@dataclass(frozen=True)
class TargetResult:
    """The results on the networks trained on one of `TARGETS`.

    Attributes
    ----------
    by_steps
        Results of each network, by training steps, increasing.
    lira
        Results of LiRA after the last of these steps, one for each run; empty where LiRA was not used.
    paper
        What the paper reports, or None.
    """

    by_steps: Mapping[int, tuple[NetworkResult, ...]]
    lira: tuple[LiraResult, ...] = ()
    paper: PaperAttack | None = None

    @property
    def last(self) -> tuple[NetworkResult, ...]:
        """The results at the end of training."""
        return self.by_steps[max(self.by_steps)]

    @property
    def accuracy(self) -> Spread:
        """Test accuracy at the end of training."""
        return Spread(tuple(each.accuracy for each in self.last))

    def auc(self, attack: str) -> Spread:
        """AUC of an attack, or of "lira", at the end of training."""
        return Spread(tuple(each.auc for each in self.successes(attack)))

    def successes(self, attack: str) -> list[Success]:
        """Success of an attack, or of "lira", at the end of training, one for each network."""
        if attack == "lira":
            return [success for each in self.lira for success in each.successes]
        return [each.attacks[attack] for each in self.last]

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values: those at the end of training, and all by steps."""
        return {
            **_networks_to_json(self.last),
            "lira": [each.to_json() for each in self.lira],
            "steps": {str(steps): _networks_to_json(found) for steps, found in self.by_steps.items()},
            "paper": _paper_to_json(self.paper) if self.paper else None,
        }


@dataclass(frozen=True)
class RunResult:
    """The results on one run.

    Attributes
    ----------
    run
        Its name.
    protocol
        How it was attacked.
    examples
        Number of members, and of non-members.
    targets
        The results by target.
    """

    run: str
    protocol: AttackProtocol
    examples: int
    targets: Mapping[str, TargetResult]

    @property
    def tested(self) -> int:
        """Number of members, and of non-members, on which the five attacks are tested: one half of them."""
        return self.examples // 2

    @property
    def chance_error(self) -> float:
        """Standard error of the AUC of random guessing."""
        return chance_error(self.tested, self.tested)

    @property
    def false_positives(self) -> dict[str, int]:
        """The number of non-members that each false-positive rate allows to be called members."""
        return {str(rate): false_positives(self.tested, rate) for rate in FALSE_POSITIVE_RATES}

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        counts = {"members": self.examples, "non_members": self.examples, "judged_by": self.tested}
        chance = {"chance_error": self.chance_error, "false_positives": self.false_positives}
        return {
            "run": self.run,
            "targets": {name: target.to_json() for name, target in self.targets.items()},
            "protocol": {**self.protocol.to_json(), **counts, **chance},
        }


@dataclass(frozen=True)
class AttackResult:
    """The results on one or several runs.

    Attributes
    ----------
    runs
        The results on each run.
    """

    runs: tuple[RunResult, ...]

    @property
    def targets(self) -> dict[str, TargetResult]:
        """The results by target, over the networks of all runs."""
        return {name: _joined([run.targets[name] for run in self.runs]) for name in TARGETS}

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values; of several runs, all together and each under ``runs``."""
        if len(self.runs) == 1:
            return self.runs[0].to_json()
        targets = {name: target.to_json() for name, target in self.targets.items()}
        return {"run": None, "targets": targets, "runs": [run.to_json() for run in self.runs]}


def _joined(targets: Sequence[TargetResult]) -> TargetResult:
    """Join the results on the same target in several runs that were attacked by the same protocol."""
    return TargetResult(
        {steps: tuple(n for each in targets for n in each.by_steps[steps]) for steps in targets[0].by_steps},
        tuple(lira for each in targets for lira in each.lira),
        targets[0].paper,
    )


def _spread(values: Iterable[float]) -> dict[str, Any]:
    return Spread(tuple(values)).to_json()


def _networks_to_json(networks: Sequence[NetworkResult]) -> dict[str, Any]:
    by_attack = {name: _success_to_json([each.attacks[name] for each in networks]) for name in ATTACKS}
    return {
        "accuracy": _spread(each.accuracy for each in networks),
        "auc": {name: found["auc"] for name, found in by_attack.items()},
        "tpr": {name: found["tpr"] for name, found in by_attack.items()},
    }


def _success_to_json(successes: Sequence[Success]) -> dict[str, Any]:
    rates = enumerate(FALSE_POSITIVE_RATES)
    return {
        "auc": _spread(each.auc for each in successes),
        "tpr": {str(rate): _spread(each.tpr[at] for each in successes) for at, rate in rates},
    }


def _paper_to_json(paper: PaperAttack) -> dict[str, Any]:
    def cell(numbers: tuple[float, float]) -> dict[str, float]:
        return {"mean": numbers[0], "std": numbers[1]}

    auc = {attack: cell(numbers) for attack, numbers in paper.auc.items()}
    return {"accuracy": cell(paper.accuracy), "auc": auc, "where": paper.where}


_ACCURACY, _AUC = "test accuracy (%)", "AUC of the MLP attack"


def write_curves(targets: Mapping[str, TargetResult], title: str, path: Path) -> None:
    """Draw accuracy and the AUC of the MLP attack over the training into a PNG (paper, Figures 3 and S3).

    Raises
    ------
    ConfigError
        If the name of the file doesn't end in ".png".
    """
    check_png(path)
    encoded = draw_panels(curves(targets), title)
    make_folder(path.parent)
    write_bytes_atomically(path, encoded)


def check_png(path: Path) -> None:
    """Refuse a path that doesn't end in ".png".

    Raises
    ------
    ConfigError
        If it doesn't.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(f"{path} must end in .png, the only format of this figure.")


def curves(targets: Mapping[str, TargetResult]) -> list[Panel]:
    """Return AUC and accuracy against steps, and AUC against accuracy; error bars are over networks."""
    auc = {name: _means(target, lambda n: n.attacks["mlp"].auc) for name, target in targets.items()}
    accuracy = {name: _means(target, lambda n: 100 * n.accuracy) for name, target in targets.items()}

    def against_steps(found: Mapping[str, tuple[list[float], list[float]]]) -> list[Series]:
        steps = {name: [float(step) for step in target.by_steps] for name, target in targets.items()}
        return [Series(TITLES[name], steps[name], *found[name]) for name in targets]

    against_accuracy = [Series(TITLES[name], accuracy[name][0], *auc[name]) for name in targets]
    return [
        Panel("training steps", _AUC, against_steps(auc), 0.5, "guessing", logarithmic=True),
        Panel("training steps", _ACCURACY, against_steps(accuracy), logarithmic=True),
        Panel(_ACCURACY, _AUC, against_accuracy, 0.5, "guessing"),
    ]


def _means(target: TargetResult, value: Callable[[NetworkResult], float]) -> tuple[list[float], list[float]]:
    """Return mean and deviation over networks, at each number of steps."""
    spreads = [Spread(tuple(map(value, networks))) for networks in target.by_steps.values()]
    return [each.mean for each in spreads], [each.std for each in spreads]
