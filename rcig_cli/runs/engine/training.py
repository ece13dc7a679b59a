"""Ordinary training of fresh networks, for evaluation and for attacks.

                 `Schedule` (paper, S3)                          `DescentSchedule` (DC-BENCH)
loss             mean squared error to the labels                cross-entropy with the largest class
optimizer        Adam                                            gradient descent, momentum 0.9, weight decay
learning rate    linear warm-up, cosine decay (to 1 %)           a tenth in the second half
augmentation     one operation for each image (`augmentation`)   one of DSA's for the batch

Each step takes the whole set up to 256 images, and a random batch of 256 of a larger set.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax import Array

from rcig_cli.augmentation import augment, augment_by
from rcig_cli.distillation import pool
from rcig_cli.distillation.matching.siamese import augment_each
from rcig_cli.distillation.pool import Loss, Model
from rcig_cli.networks.network import Network
from rcig_cli.runs.engine.environment import jit
from rcig_cli.runs.engine.mesh import current_platform
from rcig_cli.runs.engine.programs import Programs
from rcig_cli.runs.prepare.prepared import Images

LARGEST_BATCH = 256  # images; larger sets are trained on in random batches of this size

MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4  # of gradient descent

TEST_BATCH = 500  # images that networks are applied to at a time
_STEPS_IN_A_CALL = 100  # between two reports of progress


@dataclass(frozen=True)
class Schedule:
    """How long and at which learning rate a network is trained.

    Attributes
    ----------
    steps
        Training steps.
    lr
        Learning rate of Adam at its peak.
    warmup
        Steps of linear warm-up, fewer than ``steps``.
    final
        The fraction of the learning rate at which the cosine decay ends.
    augment
        Whether the images of each step are augmented.
    operations
        Names of the operations by one of which each image is augmented, in place of the usual augmentation.
    """

    steps: int
    lr: float = 1e-4
    warmup: int = 500
    final: float = 0.01
    augment: bool = False
    operations: tuple[str, ...] = ()

    @property
    def loss(self) -> Loss:
        """The loss of a step."""
        return pool.squared_error

    def augmented(self, key: Array, images: Array) -> Array:
        """Augment the images of a step, ``[b, H, W, c]``, if that is set."""
        return _augmented(key, images, self.operations, augment) if self.augment else images

    def optimizer(self) -> optax.GradientTransformation:
        """Return Adam with this schedule."""
        rate = optax.warmup_cosine_decay_schedule(0.0, self.lr, self.warmup, self.steps, self.final * self.lr)
        return optax.adam(rate)


@dataclass(frozen=True)
class DescentSchedule:
    """How long and at which learning rate a network is trained by gradient descent.

    Attributes
    ----------
    steps
        Training steps.
    lr
        Learning rate in the first half; a tenth of it in the second.
    augment
        Whether the images of each step are augmented.
    operations
        Names of the operations by one of which each image is augmented, in place of the usual augmentation.
    """

    steps: int
    lr: float = 0.01
    augment: bool = False
    operations: tuple[str, ...] = ()

    @property
    def loss(self) -> Loss:
        """The loss of a step."""
        return pool.cross_entropy

    def augmented(self, key: Array, images: Array) -> Array:
        """Augment the images of a step, ``[b, H, W, c]``, if that is set."""
        return _augmented(key, images, self.operations, augment_each) if self.augment else images

    def optimizer(self) -> optax.GradientTransformation:
        """Return gradient descent with momentum and weight decay, and with this schedule."""
        rate = optax.piecewise_constant_schedule(self.lr, {self.steps // 2 + 1: 0.1})
        return optax.chain(optax.add_decayed_weights(WEIGHT_DECAY), optax.sgd(rate, MOMENTUM))


AnySchedule = Schedule | DescentSchedule


def _augmented(
    key: Array, images: Array, operations: tuple[str, ...], usual: Callable[[Array, Array], Array]
) -> Array:
    return augment_by(key, images, operations) if operations else usual(key, images)


class TrainingSet(NamedTuple):
    """Images ``[n, H, W, c]`` and their labels ``[n, C]``, as a network is trained on them."""

    images: Any
    labels: Any


# (key, set) -> the network after each of some numbers of steps
TrainOne = Callable[[Array, TrainingSet], Iterator[Model]]
# (keys [k], one set for all networks or an iterable of k sets) -> k networks
TrainMany = Callable[[Array, TrainingSet | Iterable[TrainingSet]], Iterable[Model]]
Step = Callable[[Model, Array, Array, Array], Model]


def make_training(network: Network, schedule: AnySchedule, stops: Sequence[int] = ()) -> TrainOne:
    """Return a function that trains one fresh network: ``(key, set) -> models``.

    Parameters
    ----------
    network, schedule
        What is trained, and how.
    stops
        The steps after which the model is yielded, increasing; by default only the last.
    """
    optimizer = schedule.optimizer()
    initialize = jit(lambda key: pool.fresh_model(network, optimizer, key))
    advance = _make_advance(_make_step(network, optimizer, schedule))

    def train(key: Array, training_set: TrainingSet) -> Iterator[Model]:
        key_init, key_steps = jax.random.split(key)
        images, labels = jnp.asarray(training_set.images), jnp.asarray(training_set.labels)
        model = initialize(key_init)
        for before, after in itertools.pairwise((0, *(stops or (schedule.steps,)))):
            model = advance(after - before, model, key_steps, images, labels)
            yield model

    return train


def make_trainings(network: Network, schedule: AnySchedule, watch: Callable[[int], None]) -> TrainMany:
    """Return a function that trains a fresh network from each of some keys: ``(keys [k], sets) -> k models``.

    ``sets`` is one set for all networks or an iterable of one for each.  On a CPU the networks are trained
    one after the other, lazily.  On an accelerator one program trains all of them at once, because a single
    small network would leave most of it idle.

    Parameters
    ----------
    network, schedule
        What is trained, and how.
    watch
        Called with the number of steps done every 100 steps: of one network, or of all at once.
    """
    stops = (*range(_STEPS_IN_A_CALL, schedule.steps, _STEPS_IN_A_CALL), schedule.steps)
    if current_platform().unroll:
        train = make_training(network, schedule, stops)

        def one_by_one(keys: Array, sets: TrainingSet | Iterable[TrainingSet]) -> Iterator[Model]:
            each = itertools.repeat(sets, len(keys)) if isinstance(sets, TrainingSet) else sets
            for key, own in zip(keys, each, strict=True):
                for done, trained in zip(stops, train(key, own), strict=True):
                    model = jax.block_until_ready(trained)
                    watch(done)
                yield model

        return one_by_one

    optimizer = schedule.optimizer()
    step = _make_step(network, optimizer, schedule)
    initialize = jit(jax.vmap(lambda key: pool.fresh_model(network, optimizer, key)))

    @partial(jit, donate_argnums=0)
    def advance(models: Model, count: Array, keys: Array, images: Array, labels: Array) -> Model:
        axis = 0 if images.ndim == 5 else None
        of_each = jax.vmap(step, (0, 0, axis, axis))
        return jax.lax.fori_loop(0, count, lambda _, each: of_each(each, keys, images, labels), models)

    def at_once(keys: Array, sets: TrainingSet | Iterable[TrainingSet]) -> list[Model]:
        stacked = sets if isinstance(sets, TrainingSet) else map(jnp.stack, zip(*sets, strict=True))
        images, labels = map(jnp.asarray, stacked)
        keys_init, keys_steps = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        models = initialize(keys_init)
        for before, done in itertools.pairwise((0, *stops)):
            count = np.int32(done - before)
            models = jax.block_until_ready(advance(models, count, keys_steps, images, labels))
            watch(done)
        return [jax.tree.map(lambda leaf, k=k: leaf[k], models) for k in range(len(keys))]

    return at_once


def _make_step(network: Network, optimizer: optax.GradientTransformation, schedule: AnySchedule) -> Step:
    """Return ``(model, key, images, labels) -> model``; the key is that of the whole training."""

    def step(model: Model, key: Array, images: Array, labels: Array) -> Model:
        key_batch, key_augment = jax.random.split(jax.random.fold_in(key, model.age))
        if len(labels) > LARGEST_BATCH:
            chosen = jax.random.choice(key_batch, len(labels), (LARGEST_BATCH,), replace=False)
            images, labels = images[chosen], labels[chosen]
        images = schedule.augmented(key_augment, images)
        platform = current_platform()
        return pool.train(network, optimizer, model, images, labels, loss=schedule.loss, platform=platform)

    return step


def _make_advance(step: Step) -> Callable[[int, Model, Array, Array, Array], Model]:
    """Return a function for many steps: called from Python on a CPU, a loop in one program elsewhere."""
    if current_platform().unroll:
        compiled = Programs(step)

        def advance(steps: int, model: Model, *rest: Array) -> Model:
            for _ in range(steps):
                model = compiled(model, *rest)
            return model

        return advance

    def loop(steps: Array, model: Model, *rest: Array) -> Model:
        return jax.lax.fori_loop(0, steps, lambda _, each: step(each, *rest), model)

    return jit(loop)


def make_logits(network: Network) -> Callable[[Model, Images], npt.NDArray[np.float32]]:
    """Return ``(model, images [n, H, W, c]) -> logits [n, C]``, with the model's running statistics."""

    @jit
    def predict(model: Model, batch: Array) -> Array:
        return network.with_statistics(model.statistics).apply(model.parameters, batch)[0]

    def logits(model: Model, images: Images) -> npt.NDArray[np.float32]:
        starts = range(0, len(images), TEST_BATCH)
        return in_batches(partial(predict, model), (images[at : at + TEST_BATCH] for at in starts))

    return logits


def in_batches(
    compute: Callable[[npt.NDArray[np.float32]], Array], batches: Iterable[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    """Compute a row of numbers for each image of some batches, of at most `TEST_BATCH` images each.

    ``compute`` maps images ``[TEST_BATCH, H, W, c]`` to rows; a smaller batch is padded with zeros, so that
    it is compiled once.
    """
    found = []
    for batch in batches:
        missing = TEST_BATCH - len(batch)
        padded = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else batch
        found.append(np.asarray(compute(padded))[: len(batch)])
    return np.concatenate(found)
