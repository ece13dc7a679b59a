"""Membership inference attacks on networks trained on real images, a random subset, and a distilled set."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from rcig_cli.data.sources.subset import stratified_order
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import centred_one_hot, training_set
from rcig_cli.errors import ConfigError, NumericsError, listed
from rcig_cli.presets.config import difference
from rcig_cli.presets.paper_privacy import paper_attacks
from rcig_cli.presets.set_size import SetSize
from rcig_cli.privacy import attacks
from rcig_cli.privacy.lira import confidences
from rcig_cli.reporting.commands import options_of
from rcig_cli.reporting.formatting import TARGETS as TITLES
from rcig_cli.reporting.formatting import target_of
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.distill.scarce import scarce_classes
from rcig_cli.runs.engine.randomness import first_images
from rcig_cli.runs.engine.training import Schedule, TrainingSet, make_logits, make_training
from rcig_cli.runs.evaluate.measurement import protocol_network
from rcig_cli.runs.membership.lira import Candidates, Examples, TrainedRun, attack_offline, attack_online
from rcig_cli.runs.membership.protocol import AttackProtocol, attack_protocol
from rcig_cli.runs.membership.results import (
    TARGETS,
    AttackResult,
    LiraResult,
    NetworkResult,
    RunResult,
    TargetResult,
)
from rcig_cli.runs.report import Report
from rcig_cli.store.results import write_result

_FEWEST_EXAMPLES = 4  # members, and non-members: two of each in each half
# Random streams; those of the targets are their indices in TARGETS.
_SUBSET, _SHADOWS = len(TARGETS), len(TARGETS) + 1

Advance = Callable[..., None]  # (training steps, values to show)


def attack(
    sets: Sequence[DistilledSet], *, report: Report, steps: Sequence[int] | None = None, **settings: Any
) -> AttackResult:
    """Attack networks trained on distilled sets, on the real images, and on a random subset of these.

    The results are stored with the runs.

    Parameters
    ----------
    sets
        One or more, of different runs.
    report
        Receives messages and progress.
    steps
        Training steps after which networks are attacked; by default the paper's.
    **settings
        Other settings of `AttackProtocol` by name, such as ``networks=2``; ``shadows`` adds LiRA.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed, the runs can't be attacked together, or a
        data set has too few images.  Runs can be attacked together whose data sets have the same classes and
        shape, whose sets have as many images per class, and for which the protocol is the same; methods are
        compared on the same data sets.
    NumericsError
        If a training diverges.

    Source: the protocol is that of the RCIG paper, sections 4.5 and S2; LiRA is Carlini et al., "Membership
    inference attacks from first principles", 2022.
    """
    _check(sets)
    protocols = [attack_protocol(each.config, steps=steps, **settings) for each in sets]
    _check_same(sets, protocols)
    targets = _targets_of(sets)
    _check_methods(sets, targets, report)
    total = sum((len(TARGETS) * p.networks + 2 * p.shadows) * p.steps[-1] for p in protocols)
    done = 0

    def advance(steps: int, values: Mapping[str, float] | None = None) -> None:
        nonlocal done
        done += steps
        report.progress("training and attacking networks, steps", done, total, values)

    with_lira = protocols[0].shadows > 0
    alone = [target for target in targets if targets.count(target) == 1]
    if with_lira and alone:
        which = " or the ".join(alone) if len(sets) > 1 else "distilled set"
        report.note(
            f"LiRA can attack the {which} only with a second run of the same method, distilled from other "
            "images: pass several runs of disjoint chunks (rcig prepare --subset N --chunk K)."
        )
    runs, trained = [], []
    for distilled, target, protocol in zip(sets, targets, protocols, strict=True):
        wanted = distilled.config.images_per_class(distilled.prepared.classes)
        scarce = scarce_classes(distilled.prepared, wanted)
        if scarce:
            report.note(
                f"The random subset of {distilled.run.name} has all images of the classes that have fewer "
                f"than were distilled ({scarce})."
            )
        run, networks = _attack_run(distilled, target, protocol, advance)
        write_result(distilled.path, "attacks", "mia", run.to_json())
        runs.append(run)
        trained.append(networks)
    for at, distilled in enumerate(sets if with_lira else ()):
        run = runs[at]
        others = [other for other, target in enumerate(targets) if other != at and target == run.target]
        if not others:
            continue
        lira = attack_offline(trained[at], [trained[other] for other in others])
        if lira is None:
            report.warn(f"LiRA can't attack {run.run}: the other runs were distilled from the same images.")
            continue
        record = {
            "run": run.run,
            "targets": {"distilled": {"lira": [lira.to_json()]}},
            "compared_with": [runs[other].run for other in others],
        }
        write_result(distilled.path, "attacks", "lira", record)
        with_its_lira = replace(run.targets["distilled"], lira=(lira,))
        runs[at] = replace(run, targets={**run.targets, "distilled": with_its_lira})
    return AttackResult(tuple(runs))


def _check(sets: Sequence[DistilledSet]) -> None:
    if not sets:
        raise ConfigError("Pass at least one run to attack.")
    names = [each.run.name for each in sets]
    if len(set(names)) < len(names):
        raise ConfigError(f"Pass each run only once, not {', '.join(names)}.")
    first = sets[0].prepared
    for each in sets:
        prepared = each.prepared
        if (prepared.shape, prepared.class_names) != (first.shape, first.class_names):
            raise ConfigError(
                f"{each.run.name} was distilled from {prepared.name} and {names[0]} from {first.name}, which "
                "have images of other shapes or other classes: attack these runs separately."
            )
        if min(prepared.sizes.values()) < _FEWEST_EXAMPLES:
            raise ConfigError(
                f"{prepared.name} has {prepared.sizes['train']} training and {prepared.sizes['test']} test "
                f"images; attacks need at least {_FEWEST_EXAMPLES} of each."
            )


def _check_same(sets: Sequence[DistilledSet], protocols: Sequence[AttackProtocol]) -> None:
    """Refuse runs whose networks or random subsets can't be averaged."""
    first, wanted = sets[0], protocols[0].to_json()
    for each, protocol in zip(sets, protocols, strict=True):
        if each.config.ipc != first.config.ipc:
            raise ConfigError(
                f"{each.run.name} and {first.run.name} have different numbers of images per class, and so "
                "have their random subsets: attack these runs separately."
            )
        found = protocol.to_json()
        differing = [name for name in wanted if wanted[name] != found[name]]
        if differing:
            theirs, own = (", ".join(f"{name} {p[name]}" for name in differing) for p in (wanted, found))
            options = " ".join(options_of({name: wanted[name] for name in differing}))
            raise ConfigError(
                f"Networks of several runs must be alike, and by default those of {first.run.name} have "
                f"{theirs} and those of {each.run.name} {own}: pass for example {options}, or attack these "
                "runs separately."
            )


def _targets_of(sets: Sequence[DistilledSet]) -> list[str]:
    """Return what each set is called where several methods are compared; sets of one method are called alike.

    Imported sets are each compared by themselves, but those of different data sets, with no others among
    them, count as sets of one method.
    """
    data = {each.prepared.manifest.digest for each in sets}
    if all(each.run.imported for each in sets) and len(data) == len(sets):
        return ["imported set"] * len(sets)
    return [target_of(each.run) for each in sets]


def _check_methods(sets: Sequence[DistilledSet], targets: Sequence[str], report: Report) -> None:
    """Refuse to compare methods on different images; warn if different runs of a method are averaged."""
    groups = {
        target: [each for each, of in zip(sets, targets, strict=True) if of == target] for target in targets
    }
    data = {  # the names of the data sets by their digests
        target: {each.prepared.manifest.digest: each.prepared.name for each in group}
        for target, group in groups.items()
    }
    (first, names), *others = data.items()
    for target, found in others:
        if found.keys() != names.keys():
            raise ConfigError(
                f"The {first} was distilled from {listed([*names.values()])} and the {target} from "
                f"{listed([*found.values()])}: methods are compared on the same prepared data sets. Attack "
                "these runs separately."
            )
    for one, *more in groups.values():
        own = {name: getattr(one.config, name) for name in ("dataset", "seed")}
        for other in more:
            if differing := difference(other.config.override(own), one.config):
                report.warn(
                    f"{one.run.name} and {other.run.name} are averaged, although they were not distilled "
                    f"alike ({'; '.join(differing)})."
                )


def _attack_run(
    distilled: DistilledSet, target: str, protocol: AttackProtocol, advance: Advance
) -> tuple[RunResult, TrainedRun]:
    """Attack one run, whose set is called ``target``.

    Returns the results, and the networks that LiRA on other runs needs.
    """
    one = Attacker(distilled, protocol, advance)
    prepared, config = distilled.prepared, distilled.config
    counts = prepared.classes, prepared.sizes["train"], config.ipc
    size = SetSize.of(config, prepared.shape, prepared.classes)
    comparable = size.is_raw and not distilled.run.imported
    paper = paper_attacks(prepared.name, *counts, config.algorithm, raw=comparable)
    targets = {}
    for name, members in (("real", one.train), ("random_subset", one.random_subset())):
        flip = protocol.flip and name != "real"
        by_steps, models = one.attack(name, one.labelled(members, flip=flip))
        lira = (one.attack_with_lira(name, models, members, flip=flip),) if protocol.shadows else ()
        targets[name] = TargetResult(by_steps, lira, paper.get(name))
    images, labels = jnp.asarray(distilled.images), jnp.asarray(distilled.labels)
    by_steps, models = one.attack("distilled", TrainingSet(*training_set(images, labels, flip=protocol.flip)))
    targets["distilled"] = TargetResult(by_steps, (), paper.get("distilled"))
    result = RunResult(distilled.run.name, target, protocol, len(one.candidates.members), targets, size)
    return result, TrainedRun(models, one.candidates, prepared.whitening(), one.phi)


class Attacker:
    """Trains networks on the images of one run, and attacks them.

    ``advance`` is called after each training with its number of steps and the values to show.
    """

    def __init__(self, distilled: DistilledSet, protocol: AttackProtocol, advance: Advance) -> None:
        prepared = distilled.prepared
        self.protocol, self.advance = protocol, advance
        self.classes = prepared.classes
        self.counts = distilled.config.images_per_class(self.classes)
        self.train, self.test = Examples(*prepared.split("train")), Examples(*prepared.split("test"))
        # The seed includes the run's name, so that the networks of several runs are independent.
        self.seeds = (protocol.seed, zlib.crc32(distilled.run.name.encode()))
        self.key = jax.random.fold_in(jax.random.key(self.seeds[0]), self.seeds[1])
        network = protocol_network(prepared, protocol)
        # No warm-up and no decay: the number of steps alone determines the progress of a training.
        schedule = Schedule(protocol.steps[-1], protocol.lr, warmup=0, final=1.0)
        self.train_to_stops = make_training(network, schedule, protocol.steps)
        self.train_to_end = make_training(network, schedule)
        self.logits = make_logits(network)
        self.candidates = self.candidates_among(self.train)

    def phi(self, model: Model, examples: Examples) -> npt.NDArray[Any]:
        """Return the confidences ``[n]`` of a network at the true classes of examples."""
        return confidences(self.logits(model, examples.images), examples.classes)

    def candidates_among(self, members: Examples) -> Candidates:
        """Return the same number of members and non-members, stratified by class; the rest is context."""
        count = min(len(members), len(self.test)) // 2 * 2  # they are halved
        order = stratified_order(members.classes, self.protocol.seed)
        return Candidates(
            members.take(order[:count]), self.test.take(self._non_members(count)), members.take(order[count:])
        )

    def _non_members(self, count: int) -> npt.NDArray[np.int64]:
        return stratified_order(self.test.classes, self.protocol.seed)[:count]

    def random_subset(self) -> Examples:
        """Return real images, ``--ipc`` of each class: as many bytes as the set.  Drawn once for a run.

        A class that has fewer is taken whole: with copies, shadow networks of LiRA could be trained on an
        image that counts as a non-member.
        """
        key = jax.random.fold_in(self.key, _SUBSET)
        return self.train.take(first_images(key, self.train.classes, self.counts, repeat=False))

    def labelled(self, examples: Examples, *, flip: bool) -> TrainingSet:
        """Return the set that networks are trained on: with centred one-hot labels, and mirrored images."""
        labels = centred_one_hot(jnp.asarray(examples.classes), self.classes)
        return TrainingSet(*training_set(jnp.asarray(examples.images), labels, flip=flip))

    def attack(
        self, target: str, own: TrainingSet
    ) -> tuple[Mapping[int, tuple[NetworkResult, ...]], Sequence[Model]]:
        """Train networks on one set, and attack each at every stop; return the results and the networks."""
        stream, stops = TARGETS.index(target), self.protocol.steps
        found: dict[int, list[NetworkResult]] = {steps: [] for steps in stops}
        models = []
        keys = jax.random.split(jax.random.fold_in(self.key, stream), self.protocol.networks)
        for number, key in enumerate(keys):
            (seed,) = np.random.SeedSequence((*self.seeds, stream, number)).generate_state(1)
            before = 0
            for steps, trained in zip(stops, self.train_to_stops(key, own), strict=True):
                model = trained._replace(optimizer=())
                result = self._attack_network(model, int(seed), f"the {TITLES[target]} for {steps} steps")
                found[steps].append(result)
                values = {"accuracy": result.accuracy, "AUC": result.attacks["mlp"].auc}
                self.advance(steps - before, values)
                before = steps
            models.append(model)
        return {steps: tuple(each) for steps, each in found.items()}, models

    def _attack_network(self, model: Model, seed: int, where: str) -> NetworkResult:
        members = self.candidates.members
        of_members, of_test = (self.logits(model, each.images) for each in (members, self.test))
        if not (np.isfinite(of_members).all() and np.isfinite(of_test).all()):
            raise NumericsError(f"Training on {where} diverged: use a lower --lr.")
        accuracy = float((of_test.argmax(axis=1) == self.test.classes).mean())
        logits = np.concatenate([of_members, of_test[self._non_members(len(members))]])
        classes, are_members = self.candidates.examples.classes, self.candidates.are_members
        return NetworkResult(accuracy, attacks.attack(attacks.observe(logits, classes, are_members), seed))

    def attack_with_lira(
        self, target: str, models: Sequence[Model], members: Examples, *, flip: bool
    ) -> LiraResult:
        """Train shadow networks, and attack networks that were trained on these members."""
        stream = _SHADOWS + TARGETS.index(target)
        key = jax.random.fold_in(self.key, stream)

        def train_shadow(number: int, examples: Examples) -> Model:
            (model,) = self.train_to_end(jax.random.fold_in(key, number), self.labelled(examples, flip=flip))
            self.advance(self.protocol.steps[-1])
            return model._replace(optimizer=())

        return attack_online(
            models,
            self.candidates_among(members),
            train_shadow,
            self.phi,
            np.random.default_rng((*self.seeds, stream)),
            shadows=self.protocol.shadows,
        )
