"""Evaluate a distilled set: test accuracy of networks trained on it, and on random subsets of as many bytes.

Both are trained by the same protocol, which is stored with the accuracies.  Networks are trained on the
decoded images of a parametrized set; random subsets have ``--ipc`` real images of each class, so fewer.
"""

import re
from dataclasses import replace
from functools import cache
from typing import Any

import jax.numpy as jnp
from jax import Array

from rcig_cli.data.sources.known import KNOWN, KnownDataset
from rcig_cli.distillation.records import centred_one_hot, training_set
from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DEFAULT_PARAMETRIZATION
from rcig_cli.presets.paper import OTHERS, PaperResult, paper_result, quoted_result
from rcig_cli.reporting.formatting import count_of
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.distill.scarce import scarce_classes
from rcig_cli.runs.engine.training import TrainingSet
from rcig_cli.runs.evaluate.full_data import full_data_accuracy, steps_of
from rcig_cli.runs.evaluate.learning_rate import HeldOut, choose_lr
from rcig_cli.runs.evaluate.measurement import (
    Sets,
    make_measurement,
    protocol_network,
    random_subsets,
    schedule_of,
)
from rcig_cli.runs.evaluate.protocol import (
    FULL_EPOCHS,
    RCIG,
    EvaluationProtocol,
    evaluation_protocol,
    usual_steps,
)
from rcig_cli.runs.evaluate.results import Evaluation, LearningRateChoice, Spread
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
        If a setting is unknown or has a value that is not allowed, the network can't be built for images of
        this size, or there are no test images.

    Source: the default protocol is that of the RCIG paper, section S3.
    """
    if protocol is None:
        protocol = evaluation_protocol(distilled.config, len(distilled.images), **settings)
    if protocol.choose_lr and (full_data or scores):
        raise ConfigError(
            "choose_lr can't be combined with full_data or scores, whose networks would need learning rates "
            "of their own: leave one of them out."
        )
    warn_if_short(
        protocol, len(distilled.images), report, full_epochs=full_epochs if full_data or scores else None
    )
    prepared, name = distilled.prepared, distilled.run.name
    measure_at = cache(lambda lr: make_measurement(prepared, replace(protocol, lr=lr), report))
    held_out = HeldOut.of(prepared) if protocol.choose_lr else None
    choices: dict[str, LearningRateChoice] = {}

    def measured(kind: str, stream: int, sets: Sets, of: str, sets_to_choose: Sets) -> Spread:
        lr = protocol.lr
        if held_out is not None:
            choices[kind] = choose_lr(
                protocol.learning_rates, measure_at, held_out, sets_to_choose, of, report
            )
            lr = choices[kind].chosen
        return measure_at(lr)(stream, sets, f"training networks on {of}")

    own = make_training_set(distilled, protocol)
    accuracy = measured("set", 0, own, name, own)
    random_subset = None
    if baseline or scores:
        counts = _counts(distilled)
        scarce = scarce_classes(prepared, counts)
        if scarce:
            report.note(
                f"The random subsets repeat images of classes that have fewer than were distilled ({scarce})."
            )
        subsets = random_subsets(prepared, counts, flip=protocol.flip)
        others = random_subsets(
            prepared, counts, flip=protocol.flip, without=held_out.rows if held_out else ()
        )
        random_subset = measured("random_subset", 1, subsets, "random images", others)
    on_all = dd_ranking = None
    if full_data or scores:
        on_all = measure_full_data(prepared, protocol, full_epochs, report)
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
        lr_choices=choices,
    )
    label = re.sub(r"[^\w-]+", "-", protocol.arch)
    write_result(distilled.path, "evaluations", label, evaluation.to_json())
    return evaluation


def warn_if_short(
    protocol: EvaluationProtocol, images: int, report: Report, *, full_epochs: int | None
) -> None:
    """Warn if networks are trained for fewer steps than is usual by a protocol for so many images.

    With ``full_epochs``, networks are trained on all real images too: warn if these are fewer than usual.
    """
    usual = usual_steps(protocol, images)
    if protocol.steps < usual:
        report.warn(
            f"{protocol.steps} training steps are fewer than the {usual} of the protocol "
            f"{protocol.protocol}, so accuracies are too low to be compared with others."
        )
    if full_epochs is not None and full_epochs < FULL_EPOCHS:
        report.warn(
            f"Networks are trained on all real images for {count_of(full_epochs, 'epoch')}, fewer than the "
            f"usual {FULL_EPOCHS}, so their accuracy may be too low."
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
    network, schedule = protocol_network(prepared, protocol), schedule_of(longer)
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


def _counts(distilled: DistilledSet) -> tuple[int, ...]:
    """Return the number of real images of each class that take at least as many bytes as a set."""
    return distilled.config.images_per_class(distilled.prepared.classes)


def _is_published(prepared: Prepared, known: KnownDataset) -> bool:
    """Whether a data set has as many classes and training images, of the same shape, as published."""
    same_images = (prepared.shape, prepared.sizes["train"]) == (known.shape, known.sizes[0])
    return same_images and prepared.classes == known.classes


def _paper_result(distilled: DistilledSet, protocol: EvaluationProtocol) -> PaperResult | None:
    """Return the paper's accuracy for such a set and such networks.

    It has none with hard labels, by another protocol or augmentation, or for a ConvNet of equal channels.
    Accuracies of other methods are those by the protocol that is nearest to that of their own papers.  The
    paper's sets are raw, so it has none for parametrized sets either.

    A data set of a published name that has other sizes is a part of it, or the user's own images.
    """
    config = distilled.config
    if distilled.run.imported or config.parametrization != DEFAULT_PARAMETRIZATION:
        return None
    if config.dataset not in KNOWN or not _is_published(distilled.prepared, KNOWN[config.dataset]):
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
