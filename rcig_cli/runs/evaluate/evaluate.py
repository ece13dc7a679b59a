"""Judge a distilled set: the accuracy of networks trained on it, beside random subsets of the same size.

Both are trained under the same protocol, which is stored with the numbers.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import centred_one_hot, training_set
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.preset import PaperResult, paper_result
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.engine.draws import first_images
from rcig_cli.runs.engine.training import Schedule, Trainer, TrainingSet, make_accuracy
from rcig_cli.runs.evaluate.protocols import check_protocol, network_settings
from rcig_cli.runs.evaluate.spread import Spread
from rcig_cli.runs.prepare.prepared import Prepared, network_for
from rcig_cli.runs.report import Report
from rcig_cli.store.results import write_result

# "We train neural networks for 1000 iterations if |S| = 10, otherwise for 2000" (paper, S3).
_STEPS_FOR_TEN, _STEPS = 1000, 2000


@dataclass(frozen=True)
class Protocol:
    """How a set is judged.

    Attributes
    ----------
    architecture, normalization, width, depth
        The network that is trained; the depth is None where the architecture's is fixed.
    augment
        Whether with augmentation.
    hard_labels
        Whether each learned label counts as the class it favours.
    networks
        How many networks, each from an initialisation of its own.
    steps, learning_rate, warmup
        Training steps, Adam's learning rate at its height, and steps of linear rise to it.
    flip
        Whether the set is used together with its mirror images.
    seed
        From which all randomness follows.
    """

    architecture: str
    normalization: str
    width: int
    depth: int | None
    augment: bool
    hard_labels: bool
    networks: int
    steps: int
    learning_rate: float
    warmup: int
    flip: bool
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """A judgement.

    Attributes
    ----------
    protocol
        How it was made.
    accuracy, random_subset
        Of networks trained on the distilled set, and on random real images, as many of each class; the
        latter None if it was not asked for.
    paper
        What the paper reports for this cell, or None.
    """

    protocol: Protocol
    accuracy: Spread
    random_subset: Spread | None
    paper: PaperResult | None

    def to_json(self) -> dict[str, Any]:
        """Return the judgement as JSON values."""
        return {
            "architecture": self.protocol.architecture,
            "normalization": self.protocol.normalization,
            "augment": self.protocol.augment,
            "hard_labels": self.protocol.hard_labels,
            "accuracy": self.accuracy.to_json(),
            "random_subset": self.random_subset.to_json() if self.random_subset else None,
            "paper": {"mean": self.paper.mean, "std": self.paper.std} if self.paper else None,
            "protocol": asdict(self.protocol),
        }


def default_protocol(distilled: DistilledSet, **given: Any) -> Protocol:
    """Return the paper's protocol for a distilled set, with what was ``given`` (and is not None) in place.

    Raises
    ------
    ConfigError
        If a value can't be.
    """
    return protocol_for(distilled.config, len(distilled.images), **given)


def protocol_for(config: DistillConfig, count: int, **given: Any) -> Protocol:
    """Return the same before there is a set: for what ``config`` will give, of ``count`` images.

    Raises
    ------
    ConfigError
        If a value can't be.
    """
    steps = _STEPS_FOR_TEN if count == 10 else _STEPS
    paper: dict[str, Any] = {
        **network_settings(config, given.get("architecture")),
        "augment": False,
        "hard_labels": False,
        "networks": 5,
        "steps": steps,
        "learning_rate": 1e-4,
        "warmup": 500,
        "flip": config.algorithm.flip,
        "seed": 0,
    }
    settings = {**paper, **{name: value for name, value in given.items() if value is not None}}
    settings["warmup"] = min(settings["warmup"], settings["steps"] // 2)
    protocol = Protocol(**settings)
    check_protocol(protocol, positive=("steps",))
    return protocol


def evaluate(
    distilled: DistilledSet, protocol: Protocol, report: Report, *, baseline: bool = True
) -> Evaluation:
    """Judge a distilled set, and keep the judgement with its run.

    Parameters
    ----------
    distilled
        What is judged.
    protocol
        How.
    report
        Where messages go.
    baseline
        Whether random subsets are judged as well.
    """
    trainings = _Trainings(distilled, protocol, report, total=protocol.networks * (2 if baseline else 1))
    accuracy = trainings.of_one(0, _own(distilled, protocol))
    subsets = _random_subsets(distilled, flip=protocol.flip)
    random_subset = trainings.of_each(1, subsets) if baseline else None
    evaluation = Evaluation(protocol, accuracy, random_subset, _paper(distilled, protocol))
    write_result(distilled.path, "evaluations", protocol.architecture, evaluation.to_json())
    return evaluation


def trained_network(prepared: Prepared, protocol: Protocol) -> Network:
    """Build the network that a protocol trains.

    Raises
    ------
    ConfigError
        If the images are too small for it.
    """
    return network_for(protocol, prepared.manifest.shape, prepared.classes, "relu")


class _Trainings:
    """Networks trained under one protocol and tested."""

    def __init__(self, distilled: DistilledSet, protocol: Protocol, report: Report, total: int) -> None:
        prepared = distilled.prepared
        network = trained_network(prepared, protocol)
        schedule = Schedule(protocol.steps, protocol.learning_rate, protocol.warmup, augment=protocol.augment)
        self.trainer = Trainer(network, schedule, self._watch)
        self.accuracy_of = make_accuracy(network, prepared.images("test"), prepared.labels("test"))
        self.protocol, self.report, self.total, self.done = protocol, report, total, 0

    def of_one(self, stream: int, own: TrainingSet) -> Spread:
        """Train every network on one set."""
        _, keys = self._keys(stream)
        return self._tested(self.trainer.on_one(keys, own))

    def of_each(self, stream: int, set_for: Callable[[Array], TrainingSet]) -> Spread:
        """Train each network on a set of its own, which ``set_for`` a key returns."""
        keys_sets, keys = self._keys(stream)
        return self._tested(self.trainer.on_each(keys, (set_for(key) for key in keys_sets)))

    def _keys(self, stream: int) -> tuple[Array, Array]:
        """A key for each network's set, and one for its training."""
        stream_key = jax.random.fold_in(jax.random.key(self.protocol.seed), stream)
        pairs = jax.vmap(jax.random.split)(jax.random.split(stream_key, self.protocol.networks))
        return pairs[:, 0], pairs[:, 1]

    def _tested(self, models: Iterable[Model]) -> Spread:
        values = []
        for model in models:
            values.append(self.accuracy_of(model))
            self.done += 1
            self.report.progress("training networks", self.done, self.total, {"accuracy": values[-1]})
        return Spread(tuple(values))

    def _watch(self, step: int) -> None:
        self.report.progress("training networks", self.done, self.total, {"step": step})


def _own(distilled: DistilledSet, protocol: Protocol) -> TrainingSet:
    """The distilled images and labels, as a network is trained on them."""
    labels = jnp.asarray(distilled.labels)
    if protocol.hard_labels:
        labels = centred_one_hot(labels.argmax(1), labels.shape[1])
    return training_set(jnp.asarray(distilled.images), labels, flip=protocol.flip)


def _paper(distilled: DistilledSet, protocol: Protocol) -> PaperResult | None:
    """What the paper reports of RCIG for such a set and such networks; nothing with hard labels."""
    config = distilled.config
    if distilled.run.imported or config.algorithm.algorithm != "rcig" or protocol.hard_labels:
        return None
    tested = protocol.architecture, protocol.normalization
    return paper_result(
        config.dataset,
        config.ipc,
        distilled_with=config.normalization,
        tested=tested,
        augment=protocol.augment,
    )


def _random_subsets(distilled: DistilledSet, *, flip: bool) -> Callable[[Array], TrainingSet]:
    # A few of the training images, which may be more than fit into memory.
    images, classes = distilled.prepared.stored("train"), distilled.prepared.labels("train")
    count = distilled.prepared.classes

    def subset(key: Array) -> TrainingSet:
        chosen = first_images(key, classes, count, distilled.config.ipc)
        labels = centred_one_hot(jnp.asarray(classes[chosen]), count)
        return training_set(jnp.asarray(images[chosen]), labels, flip=flip)

    return subset
