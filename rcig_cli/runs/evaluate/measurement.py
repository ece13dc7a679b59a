"""Training the networks of a protocol, and measuring their accuracy."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array

from rcig_cli.augmentation import check_operations
from rcig_cli.distillation.records import centred_one_hot, training_set
from rcig_cli.errors import ConfigError, listed
from rcig_cli.networks.architectures import build_network
from rcig_cli.networks.network import Network
from rcig_cli.runs.engine.randomness import first_images
from rcig_cli.runs.engine.training import (
    AnySchedule,
    DescentSchedule,
    Schedule,
    TrainingSet,
    make_logits,
    make_trainings,
)
from rcig_cli.runs.evaluate.protocol import EvaluationProtocol, NetworkProtocol
from rcig_cli.runs.evaluate.results import Spread
from rcig_cli.runs.prepare.prepared import Images, Prepared
from rcig_cli.runs.report import Report

# The set for all networks, or a function from a random key to the set of one network.
Sets = TrainingSet | Callable[[Array], TrainingSet]
Labelled = tuple[Images, npt.NDArray[np.int32]]  # images [m, H, W, c] and their classes [m]
Measure = Callable[..., Spread]  # see `make_measurement`


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


def check_test_images(prepared: Prepared) -> None:
    """Refuse a data set, or some of its classes, without test images.

    Raises
    ------
    ConfigError
        If there are none.
    """
    if prepared.sizes["test"] == 0:
        which = "" if prepared.only is None else f" of the classes {listed([*prepared.class_names])}"
        raise ConfigError(
            f"{prepared.name} has no test images{which}, so accuracy can't be measured: prepare it with test "
            "images of all classes, or choose other classes."
        )


def schedule_of(protocol: EvaluationProtocol) -> AnySchedule:
    """Return how long and by which optimizer a protocol trains."""
    operations = protocol.operations
    if protocol.by_descent:
        return DescentSchedule(protocol.steps, protocol.lr, protocol.augment, operations)
    return Schedule(
        protocol.steps, protocol.lr, protocol.warmup, augment=protocol.augment, operations=operations
    )


def make_measurement(prepared: Prepared, protocol: EvaluationProtocol, report: Report) -> Measure:
    """Return a function that trains networks by a protocol and measures their accuracy.

    Raises
    ------
    ConfigError
        As `protocol_network` and `check_test_images`.
    """
    check_test_images(prepared)
    network = protocol_network(prepared, protocol)
    schedule = schedule_of(protocol)
    test = cache(lambda: (prepared.images("test"), prepared.labels("test")))
    label, done, total = "", 0, 0

    def progress(values: dict[str, float]) -> None:
        report.progress(label, done, total, values)

    train = make_trainings(network, schedule, lambda step: progress({"step": step}))
    logits = make_logits(network)

    def measure(
        stream: int, sets: Sets, name: str, networks: int | None = None, on: Labelled | None = None
    ) -> Spread:
        """Train networks, and return the accuracy of each.

        Parameters
        ----------
        stream
            The number of a random stream.
        sets
            What the networks are trained on.
        name
            The label of the progress.
        networks
            How many; by default as many as the protocol has.
        on
            The images on which their accuracy is measured; by default the test images.
        """
        nonlocal label, done, total
        label, done, total = name, 0, networks or protocol.networks
        images, classes = on or test()
        key = jax.random.fold_in(jax.random.key(protocol.seed), stream)
        pairs = jax.vmap(jax.random.split)(jax.random.split(key, total))
        each: TrainingSet | Iterable[TrainingSet] = (
            sets if isinstance(sets, TrainingSet) else map(sets, pairs[:, 0])
        )
        values = []
        for model in train(pairs[:, 1], each):
            values.append(float((logits(model, images).argmax(axis=1) == classes).mean()))
            done += 1
            progress({"accuracy" if on else "test accuracy": values[-1]})
        return Spread(tuple(values))

    return measure


def random_subsets(
    prepared: Prepared,
    counts: Sequence[int],
    *,
    flip: bool,
    without: Sequence[int] | npt.NDArray[np.int64] = (),
) -> Callable[[Array], TrainingSet]:
    """Return a function from a random key to a training set of real images, ``counts`` of each class.

    The images of a class that has too few are repeated, so that the classes have the same weights as in the
    distilled set.  Images with an index in ``without`` are never chosen.
    """
    # Only the chosen images are read: all training images may not fit into memory.
    images, classes = prepared.stored("train"), prepared.labels("train")
    rows = np.setdiff1d(np.arange(len(classes)), without)

    def subset(key: Array) -> TrainingSet:
        chosen = rows[first_images(key, classes[rows], counts)]
        labels = centred_one_hot(jnp.asarray(classes[chosen]), len(counts))
        return TrainingSet(*training_set(jnp.asarray(images[chosen]), labels, flip=flip))

    return subset
