"""Attack networks on who was in their data: real images, a random subset of them, and the distilled set."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rcig_cli.errors import ConfigError
from rcig_cli.presets.paper_privacy import paper_attacks
from rcig_cli.privacy.roc import FALSE_POSITIVE_RATES, chance_error, false_positives
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.membership.attack_lira import Distillation, from_other_runs
from rcig_cli.runs.membership.attack_networks import Laboratory, Progress
from rcig_cli.runs.membership.attack_protocol import AttackProtocol
from rcig_cli.runs.membership.attack_record import TARGETS, Target, merged
from rcig_cli.runs.report import Report
from rcig_cli.store.results import write_result

_FEWEST_EXAMPLES = 4  # members, and non-members: two of each in each half


@dataclass(frozen=True, eq=False)
class Attacked:
    """What was found of one run.

    Attributes
    ----------
    run
        Its name.
    protocol
        How it was attacked.
    examples
        How many members there were, and as many non-members.
    targets
        What was found of each of `TARGETS`.
    distillation
        The networks trained on its distilled set.
    """

    run: str
    protocol: AttackProtocol
    examples: int
    targets: Mapping[str, Target]
    distillation: Distillation

    @property
    def judged(self) -> int:
        """How many members, and as many non-members, the five attacks are judged by: half of them."""
        return self.examples // 2

    @property
    def chance_error(self) -> float:
        """Standard error of the AUC of an attack that guesses."""
        return chance_error(self.judged, self.judged)

    @property
    def false_positives(self) -> dict[str, int]:
        """How many non-members may be taken for members at each false positive rate."""
        return {str(rate): false_positives(self.judged, rate) for rate in FALSE_POSITIVE_RATES}

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        counts = {"members": self.examples, "non_members": self.examples, "judged_by": self.judged}
        chance = {"chance_error": self.chance_error, "false_positives": self.false_positives}
        return {
            "run": self.run,
            "targets": {name: target.to_json() for name, target in self.targets.items()},
            "protocol": {**asdict(self.protocol), "steps": list(self.protocol.steps), **counts, **chance},
        }


def attack(
    sets: Sequence[DistilledSet], protocols: Sequence[AttackProtocol], report: Report
) -> list[Attacked]:
    """Attack networks trained on distilled sets, and on what these stand for; keep what is found.

    Parameters
    ----------
    sets
        One or more, each of a run of its own.
    protocols
        How, for each.
    report
        Where messages go.

    Raises
    ------
    ConfigError
        If they don't belong together, or hold too few images.
    NumericsError
        If a training diverges.
    """
    _check(sets)
    progress = Progress(report, sum(_training_steps(protocol) for protocol in protocols))
    with_lira = protocols[0].shadows > 0
    if with_lira and len(sets) == 1:
        report.note(
            "LiRA needs a second run, distilled from other images, to attack the distilled set: "
            "give several, of disjoint --subset chunks."
        )
    done = []
    for distilled, protocol in zip(sets, protocols, strict=True):
        attacked = _attack_one(distilled, protocol, progress)
        write_result(distilled.path, "attacks", "mia", attacked.to_json())
        done.append(attacked)
    return _with_lira_of_distilled(sets, done, report) if with_lira else done


def all_targets(attacked: Sequence[Attacked]) -> dict[str, Target]:
    """What was found of each target in all runs together."""
    return {name: merged([each.targets[name] for each in attacked]) for name in TARGETS}


def _check(sets: Sequence[DistilledSet]) -> None:
    names = [each.run.name for each in sets]
    if len(set(names)) < len(names):
        raise ConfigError(f"Each run counts once; given: {', '.join(names)}.")
    for each in sets:
        first, manifest = sets[0].prepared.manifest, each.prepared.manifest
        if (manifest.shape, manifest.class_names) != (first.shape, first.class_names):
            raise ConfigError(
                f"{each.run.name} is of {manifest.name} and {names[0]} of {first.name}, with other images or "
                "classes: attack them one by one."
            )
        if min(manifest.sizes.values()) < _FEWEST_EXAMPLES:
            raise ConfigError(
                f"{manifest.name} has {manifest.sizes['train']} training and {manifest.sizes['test']} test "
                f"images: attacks need {_FEWEST_EXAMPLES} of each."
            )


def _training_steps(protocol: AttackProtocol) -> int:
    return (len(TARGETS) * protocol.networks + 2 * protocol.shadows) * protocol.steps[-1]


def _attack_one(distilled: DistilledSet, protocol: AttackProtocol, progress: Progress) -> Attacked:
    laboratory = Laboratory(distilled, protocol, progress)
    manifest, config = distilled.prepared.manifest, distilled.config
    paper = paper_attacks(manifest.name, manifest.sizes["train"], config.ipc)
    targets = {}
    for name, members in (("real", laboratory.train), ("random_subset", laboratory.random_subset())):
        trained, lira = laboratory.on_real(name, members)
        targets[name] = Target(trained.found, (lira,) if lira else (), paper.get(name))
    trained = laboratory.on_distilled()
    reported = paper.get("distilled") if config.algorithm.algorithm == "rcig" else None
    targets["distilled"] = Target(trained.found, (), reported)
    count = len(laboratory.candidates.members)
    return Attacked(distilled.run.name, protocol, count, targets, laboratory.distillation(trained))


def _with_lira_of_distilled(
    sets: Sequence[DistilledSet], attacked: Sequence[Attacked], report: Report
) -> list[Attacked]:
    """The same, with LiRA on each distilled set by the other runs, where there are any."""
    return [
        _with_lira(distilled, each, [other for other in attacked if other is not each], report)
        for distilled, each in zip(sets, attacked, strict=True)
    ]


def _with_lira(
    distilled: DistilledSet, attacked: Attacked, others: Sequence[Attacked], report: Report
) -> Attacked:
    if not others:
        return attacked
    lira = from_other_runs(attacked.distillation, [other.distillation for other in others])
    if lira is None:
        report.warn(f"LiRA can't attack {attacked.run}: the other runs were distilled from the same images.")
        return attacked
    record = {
        "run": attacked.run,
        "targets": {"distilled": {"lira": [lira.to_json()]}},
        "compared_with": [other.run for other in others],
    }
    write_result(distilled.path, "attacks", "lira", record)
    target = replace(attacked.targets["distilled"], lira=(lira,))
    return replace(attacked, targets={**attacked.targets, "distilled": target})
