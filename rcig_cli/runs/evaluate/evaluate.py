"""Evaluate a distilled set: test accuracy of networks trained on it, and on random subsets of as many bytes.

Both are trained by the same protocol, which is stored with the accuracies.  Networks are trained on the
decoded images of a parametrized set; random subsets have ``--ipc`` real images of each class, so fewer.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.augmentation import check_operations
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.distillation.records import centred_one_hot, training_set
from rcig_cli.networks.architectures import build_network
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import DEFAULT_PARAMETRIZATION
from rcig_cli.presets.paper import OTHERS, PaperResult, paper_result, quoted_result
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.distill.scarce import scarce_classes
from rcig_cli.runs.engine.randomness import first_images
from rcig_cli.runs.engine.training import (
    AnySchedule,
    DescentSchedule,
    Schedule,
    TrainingSet,
    make_logits,
    make_trainings,
)
from rcig_cli.runs.evaluate.full_data import full_data_accuracy, steps_of
from rcig_cli.runs.evaluate.protocol import (
    FULL_EPOCHS,
    RCIG,
    EvaluationProtocol,
    NetworkProtocol,
    evaluation_protocol,
    usual_steps,
)
from rcig_cli.runs.evaluate.results import Evaluation, Spread
from rcig_cli.runs.evaluate.scores import Scores
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.report import Report
from rcig_cli.store.results import write_result


def evaluate(
    distilled: DistilledSet,
    protocol: EvaluationProtocol | None = None,
    /,
    *,
    report: Report,
    baseline: bool = True,
    full_data: bool = False,
    full_epochs: int = FULL_EPOCHS,
    scores: bool = False,
    **settings: Any,
) -> Evaluation:
    """Evaluate a distilled set, and store the result with its run.

    Parameters
    ----------
    distilled
        The set.
    protocol
        How networks are trained; by default the paper's protocol with ``settings``.
    report
        Receives messages and progress.
    baseline
        Whether to evaluate random subsets as well.
    full_data, full_epochs
        Whether to train networks on all real images as well, and for how many epochs.  The accuracy is kept
        with the data set, and not computed again for the same protocol.
    scores
        Whether to compute DD-Ranking's scores (`scores`), which need all of these and three evaluations more.
    **settings
        Settings of `EvaluationProtocol` by name, such as ``networks=3``.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed, or the network can't be built for images
        of this size.

    Source: the default protocol is that of the RCIG paper, section S3.
    """
    if protocol is None:
        protocol = evaluation_protocol(distilled.config, len(distilled.images), **settings)
    warn_if_short(protocol, len(distilled.images), report)
    measure = make_measurement(distilled.prepared, protocol, report)
    own = make_training_set(distilled, protocol)
    name = distilled.run.name
    accuracy = measure(0, own, f"training networks on {name}")
    random_subset = None
    if baseline or scores:
        scarce = scarce_classes(distilled.prepared, distilled.config)
        if scarce:
            report.note(
                f"The random subsets repeat images of classes that have fewer than were distilled ({scarce})."
            )
        subsets = random_subsets(distilled.prepared, _counts(distilled), flip=protocol.flip)
        random_subset = measure(1, subsets, "training networks on random images")
    on_all = dd_ranking = None
    if full_data or scores:
        on_all = measure_full_data(distilled.prepared, protocol, full_epochs, report)
    if scores:
        assert on_all is not None
        assert random_subset is not None
        dd_ranking = _scores(distilled, protocol, accuracy, random_subset, on_all, report)
    paper = _paper_result(distilled, protocol)
    evaluation = Evaluation(
        name,
        protocol.to_json(),
        accuracy,
        random_subset,
        paper,
        distilled.size,
        full_data=on_all,
        full_epochs=full_epochs if on_all else None,
        scores=dd_ranking,
        extensions=protocol.extensions,
    )
    label = re.sub(r"[^\w-]+", "-", protocol.arch)
    write_result(distilled.path, "evaluations", label, evaluation.to_json())
    return evaluation


def warn_if_short(protocol: EvaluationProtocol, images: int, report: Report) -> None:
    """Warn if networks are trained for fewer steps than is usual by a protocol for so many images."""
    usual = usual_steps(protocol, images)
    if protocol.steps < usual:
        report.warn(
            f"{protocol.steps} training steps are fewer than the {usual} of the protocol "
            f"{protocol.protocol}, so accuracies are too low to be compared with others."
        )


def labels_of(distilled: DistilledSet, protocol: EvaluationProtocol) -> Array:
    """Return the labels ``[n, C]`` of a set, centred, as a protocol uses them: learned or one-hot."""
    labels = jnp.asarray(distilled.labels)
    return centred_one_hot(labels.argmax(1), labels.shape[1]) if protocol.hard_labels else labels


def make_training_set(distilled: DistilledSet, protocol: EvaluationProtocol) -> TrainingSet:
    """Return the images and labels of a set as a protocol uses them."""
    labels = labels_of(distilled, protocol)
    return TrainingSet(*training_set(jnp.asarray(distilled.images), labels, flip=protocol.flip))


def measure_full_data(
    prepared: Prepared, protocol: EvaluationProtocol, epochs: int, report: Report
) -> Spread:
    """Return the accuracy of networks trained on all real images for some epochs, measured or read."""
    steps = steps_of(prepared, protocol, epochs)
    longer = replace(protocol, steps=steps, warmup=min(protocol.warmup, steps // 2))
    network, schedule = protocol_network(prepared, protocol), _schedule(longer)
    return full_data_accuracy(prepared, protocol, network, schedule, report)


def _scores(
    distilled: DistilledSet,
    protocol: EvaluationProtocol,
    accuracy: Spread,
    random_subset: Spread,
    full_data: Spread,
    report: Report,
) -> Scores:
    """Train what DD-Ranking's scores need besides the accuracies that are there."""
    name = distilled.run.name
    hard = replace(protocol, hard_labels=True)
    other = replace(protocol, augment=not protocol.augment)
    images = len(distilled.images)
    if protocol.steps == usual_steps(protocol, images):
        other = replace(other, steps=usual_steps(other, images))
    of_hard = accuracy
    if not protocol.hard_labels:
        measure = make_measurement(distilled.prepared, hard, report)
        of_hard = measure(2, make_training_set(distilled, hard), f"training networks on {name}, hard labels")
    measure = make_measurement(distilled.prepared, other, report)
    how = "augmented" if other.augment else "not augmented"
    own = measure(3, make_training_set(distilled, other), f"training networks on {name}, {how}")
    subsets = random_subsets(distilled.prepared, _counts(distilled), flip=protocol.flip)
    of_random = measure(4, subsets, f"training networks on random images, {how}")
    improvements = accuracy.mean - random_subset.mean, own.mean - of_random.mean
    plain, augmented = improvements[::-1] if protocol.augment else improvements
    return Scores(full_data.mean, of_hard.mean, accuracy.mean, random_subset.mean, plain, augmented)


def protocol_network(prepared: Prepared, protocol: NetworkProtocol) -> Network:
    """Build the network that a protocol trains.

    Networks and augmentations of the user's own are imported and checked.

    Raises
    ------
    ConfigError
        If it can't be built for images of this size, or an extension can't be used.
    """
    if isinstance(protocol, EvaluationProtocol):
        check_operations(protocol.operations, prepared.shape)
    return build_network(
        protocol.arch,
        image_shape=prepared.manifest.shape,
        classes=prepared.classes,
        width=protocol.width,
        depth=protocol.depth,
        norm=protocol.norm,
        channels=protocol.channels,
    )


def _schedule(protocol: EvaluationProtocol) -> AnySchedule:
    """Return how long and by which optimizer a protocol trains."""
    operations = protocol.operations
    if protocol.by_descent:
        return DescentSchedule(protocol.steps, protocol.lr, protocol.augment, operations)
    return Schedule(
        protocol.steps, protocol.lr, protocol.warmup, augment=protocol.augment, operations=operations
    )


Measure = Callable[[int, TrainingSet | Callable[[Array], TrainingSet], str], Spread]


def make_measurement(prepared: Prepared, protocol: EvaluationProtocol, report: Report) -> Measure:
    """Return a function that trains networks and measures their test accuracy: ``(stream, sets, label)``.

    Its arguments are the number of a random stream; one set for all networks, or a function from a random
    key to a set, which is called for each network; and the label of the progress.
    """
    network = protocol_network(prepared, protocol)
    schedule = _schedule(protocol)
    test, classes = prepared.images("test"), prepared.labels("test")
    label, done = "", 0

    def progress(values: dict[str, float]) -> None:
        report.progress(label, done, protocol.networks, values)

    train = make_trainings(network, schedule, lambda step: progress({"step": step}))
    logits = make_logits(network)

    def measure(stream: int, sets: TrainingSet | Callable[[Array], TrainingSet], name: str) -> Spread:
        nonlocal label, done
        label, done = name, 0
        key = jax.random.fold_in(jax.random.key(protocol.seed), stream)
        pairs = jax.vmap(jax.random.split)(jax.random.split(key, protocol.networks))
        each: TrainingSet | Iterable[TrainingSet] = (
            sets if isinstance(sets, TrainingSet) else map(sets, pairs[:, 0])
        )
        values = []
        for model in train(pairs[:, 1], each):
            values.append(float((logits(model, test).argmax(axis=1) == classes).mean()))
            done += 1
            progress({"test accuracy": values[-1]})
        return Spread(tuple(values))

    return measure


def _counts(distilled: DistilledSet) -> tuple[int, ...]:
    """Return the number of real images of each class that take at least as many bytes as a set."""
    return distilled.config.images_per_class(distilled.prepared.classes)


def random_subsets(
    prepared: Prepared, counts: Sequence[int], *, flip: bool
) -> Callable[[Array], TrainingSet]:
    """Return a function from a random key to a training set of real images, ``counts`` of each class.

    The images of a class that has too few are repeated, so that the classes have the same weights as in the
    distilled set.
    """
    # Only the chosen images are read: all training images may not fit into memory.
    images, classes = prepared.stored("train"), prepared.labels("train")

    def subset(key: Array) -> TrainingSet:
        chosen = first_images(key, classes, counts)
        labels = centred_one_hot(jnp.asarray(classes[chosen]), len(counts))
        return TrainingSet(*training_set(jnp.asarray(images[chosen]), labels, flip=flip))

    return subset


def _paper_result(distilled: DistilledSet, protocol: EvaluationProtocol) -> PaperResult | None:
    """Return the paper's accuracy for such a set and such networks.

    It has none with hard labels, by another protocol or augmentation, or for a ConvNet of equal channels.
    Accuracies of
    other methods are those by the protocol that is nearest to that of their own papers.  The paper's sets are
    raw, so it has none for parametrized sets either.

    A data set of a published name but another number of classes consists of the user's own images.
    """
    config = distilled.config
    if distilled.run.imported or config.parametrization != DEFAULT_PARAMETRIZATION:
        return None
    if config.dataset not in KNOWN or distilled.prepared.classes != KNOWN[config.dataset].classes:
        return None
    if config.classes is not None or protocol.augment_with is not None:
        return None
    if config.algorithm in OTHERS:
        return quoted_result(config.dataset, config.ipc, config.algorithm, protocol.to_json())
    if protocol.protocol != RCIG or protocol.hard_labels or protocol.channels != "doubling":
        return None
    return paper_result(
        config.dataset,
        config.ipc,
        algorithm=config.algorithm,
        distilled_with=config.norm,
        tested=(protocol.arch, protocol.norm or "none"),
        augment=protocol.augment,
    )
