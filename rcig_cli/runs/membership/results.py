"""Results of membership inference attacks by target, over networks and over runs, as JSON and as curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcig_cli.presets.paper_privacy import PaperAttack
from rcig_cli.presets.set_size import SetSize
from rcig_cli.privacy.attacks import ATTACKS
from rcig_cli.privacy.roc import FALSE_POSITIVE_RATES, Success, chance_error, false_positives
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.reporting.formatting import TARGETS as TITLES
from rcig_cli.runs.evaluate.results import Spread
from rcig_cli.runs.membership.protocol import AttackProtocol
from rcig_cli.store.files import make_folder, write_bytes_atomically

# What networks are trained on, in the order of the paper's tables.
TARGETS = tuple(TITLES)


@dataclass(frozen=True)
class NetworkResult:
    """Test accuracy of one network after some training steps, and the success of each of the five attacks."""

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

    @property
    def false_positives(self) -> dict[str, int]:
        """The number of non-members that each false-positive rate allows to be called members."""
        return _false_positives(self.non_members)

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
        The results that the paper reports, or None.
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
            "paper": self.paper.to_json() if self.paper else None,
        }


@dataclass(frozen=True)
class RunResult:
    """The results on one run by target; ``examples`` is the number of members, and of non-members.

    ``target`` is what its set is called where several methods are compared, such as ``"set by dm"``, and
    ``size`` the size of that set.
    """

    run: str
    target: str
    protocol: AttackProtocol
    examples: int
    targets: Mapping[str, TargetResult]
    size: SetSize

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
        return _false_positives(self.tested)

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        counts = {"members": self.examples, "non_members": self.examples, "judged_by": self.tested}
        chance = {"chance_error": self.chance_error, "false_positives": self.false_positives}
        return {
            "run": self.run,
            "target": self.target,
            "targets": {name: target.to_json() for name, target in self.targets.items()},
            "protocol": {**self.protocol.to_json(), **counts, **chance},
            "extensions": self.protocol.extensions,
            **self.size.to_json(),
        }


@dataclass(frozen=True)
class AttackResult:
    """The results on one or several runs."""

    runs: tuple[RunResult, ...]

    @property
    def targets(self) -> dict[str, TargetResult]:
        """The results by target, over the networks of all runs.

        Of runs by several methods, those on distilled sets are joined for each method alone, by its
        ``target``.
        """
        joined = {name: _joined([run.targets[name] for run in self.runs]) for name in TARGETS}
        several = dict.fromkeys(run.target for run in self.runs)
        if len(several) > 1:
            del joined["distilled"]
            for target in several:
                joined[target] = _joined(
                    [run.targets["distilled"] for run in self.runs if run.target == target]
                )
        return joined

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values; of several runs, all together and each under ``runs``."""
        if len(self.runs) == 1:
            return self.runs[0].to_json()
        targets = {name: target.to_json() for name, target in self.targets.items()}
        return {"run": None, "targets": targets, "runs": [run.to_json() for run in self.runs]}


def _false_positives(non_members: int) -> dict[str, int]:
    return {str(rate): false_positives(non_members, rate) for rate in FALSE_POSITIVE_RATES}


def _joined(targets: Sequence[TargetResult]) -> TargetResult:
    """Join the results on the same target in several runs that were attacked by the same protocol."""
    return TargetResult(
        {steps: tuple(n for each in targets for n in each.by_steps[steps]) for steps in targets[0].by_steps},
        tuple(lira for each in targets for lira in each.lira),
        targets[0].paper if all(each.paper for each in targets) else None,
    )


def _networks_to_json(networks: Sequence[NetworkResult]) -> dict[str, Any]:
    by_attack = {name: _success_to_json([each.attacks[name] for each in networks]) for name in ATTACKS}
    return {
        "accuracy": Spread(tuple(each.accuracy for each in networks)).to_json(),
        "auc": {name: found["auc"] for name, found in by_attack.items()},
        "tpr": {name: found["tpr"] for name, found in by_attack.items()},
    }


def _success_to_json(successes: Sequence[Success]) -> dict[str, Any]:
    rates = enumerate(FALSE_POSITIVE_RATES)
    return {
        "auc": Spread(tuple(each.auc for each in successes)).to_json(),
        "tpr": {str(rate): Spread(tuple(each.tpr[at] for each in successes)).to_json() for at, rate in rates},
    }


_ACCURACY, _AUC = "test accuracy (%)", "AUC of the MLP attack"


def write_curves(targets: Mapping[str, TargetResult], title: str, path: Path) -> None:
    """Draw accuracy and the AUC of the MLP attack over the training into a PNG (paper, Figures 3 and S3)."""
    encoded = draw_panels(curves(targets), title)
    make_folder(path.parent)
    write_bytes_atomically(path, encoded)


def curves(targets: Mapping[str, TargetResult]) -> list[Panel]:
    """Return AUC and accuracy against steps, and AUC against accuracy; error bars are over networks."""
    against_steps, accuracy_against_steps, against_accuracy = [], [], []
    for name, target in targets.items():
        steps = [float(each) for each in target.by_steps]
        found = target.by_steps.values()
        aucs = [Spread(tuple(each.attacks["mlp"].auc for each in networks)) for networks in found]
        accuracies = [Spread(tuple(100 * each.accuracy for each in networks)) for networks in found]
        auc = [each.mean for each in aucs], [each.std for each in aucs]
        accuracy = [each.mean for each in accuracies], [each.std for each in accuracies]
        against_steps.append(Series(TITLES.get(name, name), steps, *auc))
        accuracy_against_steps.append(Series(TITLES.get(name, name), steps, *accuracy))
        against_accuracy.append(Series(TITLES.get(name, name), accuracy[0], *auc))
    return [
        Panel("training steps", _AUC, against_steps, 0.5, "guessing", logarithmic=True),
        Panel("training steps", _ACCURACY, accuracy_against_steps, logarithmic=True),
        Panel(_ACCURACY, _AUC, against_accuracy, 0.5, "guessing"),
    ]
