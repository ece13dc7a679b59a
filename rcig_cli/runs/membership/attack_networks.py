"""One run's images, and networks trained on them and attacked."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from rcig_cli.data.sources.subset import stratified_order
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import centred_one_hot, training_set
from rcig_cli.errors import NumericsError
from rcig_cli.privacy.attacks import attack
from rcig_cli.privacy.features import see
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.engine.draws import first_images
from rcig_cli.runs.engine.training import Schedule, make_course, make_logits
from rcig_cli.runs.membership.attack_lira import (
    Candidates,
    Distillation,
    Examples,
    confidences_by,
    from_shadows,
)
from rcig_cli.runs.membership.attack_protocol import AttackProtocol
from rcig_cli.runs.membership.attack_record import TARGETS, Found, Lira
from rcig_cli.runs.prepare.prepared import network_for
from rcig_cli.runs.report import Report

# What randomness is used for, after the targets: these are their places in TARGETS.
_SUBSET, _SHADOWS = len(TARGETS), len(TARGETS) + 1


class Progress:
    """How many of all training steps are done.

    Parameters
    ----------
    report
        Where it is told.
    total
        Training steps.
    """

    def __init__(self, report: Report, total: int) -> None:
        self.report, self.total, self.done = report, total, 0

    def add(self, steps: int, values: Mapping[str, float] | None = None) -> None:
        """So many more are done."""
        self.done += steps
        self.report.progress("training and attacking networks", self.done, self.total, values)


@dataclass(frozen=True, eq=False)
class Trained:
    """Networks trained on one target.

    Attributes
    ----------
    found
        What the five attacks found of each, by the steps it had been trained for.
    models
        The networks at the end.
    """

    found: Mapping[int, tuple[Found, ...]]
    models: Sequence[Model]


class Laboratory:
    """Where networks are trained on a run's images, and attacked.

    Parameters
    ----------
    distilled
        The run's set.
    protocol
        How.
    progress
        Told of every training.
    """

    def __init__(self, distilled: DistilledSet, protocol: AttackProtocol, progress: Progress) -> None:
        prepared = distilled.prepared
        self.distilled, self.protocol, self.progress = distilled, protocol, progress
        self.classes = prepared.classes
        self.train, self.test = Examples(*prepared.split("train")), Examples(*prepared.split("test"))
        # A run's own, so that the networks of several runs are draws of their own.
        self.seeds = (protocol.seed, zlib.crc32(distilled.run.name.encode()))
        self.key = jax.random.fold_in(jax.random.key(self.seeds[0]), self.seeds[1])
        network = network_for(protocol, prepared.manifest.shape, self.classes, "relu")
        # No warm-up and no decay: how far such a training is, the number of its steps alone says.
        schedule = Schedule(protocol.steps[-1], protocol.learning_rate, warmup=0, final=1.0)
        self.course = make_course(network, schedule, protocol.steps)
        self.whole_course = make_course(network, schedule, protocol.steps[-1:])
        self.logits = make_logits(network)
        self.candidates = self.candidates_among(self.train)

    def candidates_among(self, members: Examples) -> Candidates:
        """As many members as non-members, of all classes in their shares; the other members are context."""
        count = min(len(members), len(self.test)) // 2 * 2  # they are halved
        order = stratified_order(members.classes, self.protocol.seed)
        return Candidates(
            members.take(order[:count]), self.test.take(self._non_members(count)), members.take(order[count:])
        )

    def _non_members(self, count: int) -> Any:
        return stratified_order(self.test.classes, self.protocol.seed)[:count]

    def random_subset(self) -> Examples:
        """Real images, as many of each class as were distilled: one draw for a run, as its set is one."""
        key = jax.random.fold_in(self.key, _SUBSET)
        return self.train.take(first_images(key, self.train.classes, self.classes, self.distilled.config.ipc))

    def on_distilled(self) -> Trained:
        """Train on the distilled set, and attack."""
        images, labels = jnp.asarray(self.distilled.images), jnp.asarray(self.distilled.labels)
        return self._trained("distilled", *training_set(images, labels, flip=self.protocol.flip))

    def on_real(self, target: str, members: Examples) -> tuple[Trained, Lira | None]:
        """Train on real images, and attack; by LiRA too, if the protocol says so."""
        flip = self.protocol.flip and target != "real"
        trained = self._trained(target, *self._labelled(members, flip=flip))
        if not self.protocol.shadows:
            return trained, None
        stream = _SHADOWS + TARGETS.index(target)
        key = jax.random.fold_in(self.key, stream)

        def train(number: int, examples: Examples) -> Model:
            training = self._labelled(examples, flip=flip)
            (model,) = self.whole_course(jax.random.fold_in(key, number), *training)
            self.progress.add(self.protocol.steps[-1])
            return model._replace(optimizer=())

        lira = from_shadows(
            trained.models,
            self.candidates_among(members),
            train,
            confidences_by(self.logits),
            np.random.default_rng((*self.seeds, stream)),
            shadows=self.protocol.shadows,
        )
        return trained, lira

    def distillation(self, trained: Trained) -> Distillation:
        """What other runs need of networks trained on the distilled set."""
        whitening = self.distilled.prepared.whitening()
        return Distillation(trained.models, self.candidates, whitening, confidences_by(self.logits))

    def _labelled(self, examples: Examples, *, flip: bool) -> tuple[Array, Array]:
        labels = centred_one_hot(jnp.asarray(examples.classes), self.classes)
        return training_set(jnp.asarray(examples.images), labels, flip=flip)

    def _trained(self, target: str, images: Array, labels: Array) -> Trained:
        stream = TARGETS.index(target)
        found: dict[int, list[Found]] = {steps: [] for steps in self.protocol.steps}
        models = []
        keys = jax.random.split(jax.random.fold_in(self.key, stream), self.protocol.networks)
        for number, key in enumerate(keys):
            (seed,) = np.random.SeedSequence((*self.seeds, stream, number)).generate_state(1)
            before = 0
            for steps, model in zip(self.protocol.steps, self.course(key, images, labels), strict=True):
                shown = model._replace(optimizer=())
                found[steps].append(self._attacked(shown, int(seed), f"the {target} images, {steps} steps"))
                self.progress.add(steps - before, _summary(found[steps][-1]))
                before = steps
            models.append(shown)
        return Trained({steps: tuple(each) for steps, each in found.items()}, models)

    def _attacked(self, model: Model, seed: int, where: str) -> Found:
        members = self.candidates.members
        of_members, of_test = (self.logits(model, each.images) for each in (members, self.test))
        if not (np.isfinite(of_members).all() and np.isfinite(of_test).all()):
            raise NumericsError(f"A training on {where}, diverged: use a lower --lr.")
        accuracy = float((of_test.argmax(axis=1) == self.test.classes).mean())
        logits = np.concatenate([of_members, of_test[self._non_members(len(members))]])
        seen = see(logits, self.candidates.examples.classes, self.candidates.are_members)
        return Found(accuracy, attack(seen, seed))


def _summary(found: Found) -> dict[str, float]:
    return {"accuracy": found.accuracy, "AUC": found.attacks["mlp"].auc}
