"""Ordinary training of fresh networks, as evaluation needs it (paper, S3).

mean squared error to the labels; Adam; linear warm-up, then cosine decay to 1 %
the whole set each step up to 256 images, random batches of 256 beyond
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
from jax import Array

from rcig_cli.augmentation import augment
from rcig_cli.distillation import pool
from rcig_cli.distillation.pool import Model
from rcig_cli.networks.network import Network
from rcig_cli.runs.engine.mesh import current_platform
from rcig_cli.runs.prepare.prepared import Images

LARGEST_BATCH = 256  # images; larger sets are trained on in random batches of this size

_TEST_BATCH = 500  # images


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained.

    Attributes
    ----------
    steps
        Training steps.
    learning_rate
        Adam's at its height.
    warmup
        Steps of linear rise, fewer than all.
    final
        Share of the learning rate that the cosine ends at.
    augment
        Whether each step's images are augmented.
    """

    steps: int
    learning_rate: float = 1e-4
    warmup: int = 500
    final: float = 0.01
    augment: bool = False

    def optimizer(self) -> optax.GradientTransformation:
        """Adam with this schedule."""
        rate = optax.warmup_cosine_decay_schedule(
            0.0,
            self.learning_rate,
            self.warmup,
            self.steps,
            self.final * self.learning_rate,
        )
        return optax.adam(rate)


TrainingSet = tuple[Any, Any]  # images [n, H, W, c], labels [n, C]
Train = Callable[[Array, npt.NDArray[Any], npt.NDArray[Any]], Model]
Course = Callable[[Array, Any, Any], Iterator[Model]]
TrainTogether = Callable[[Array, Array, Array], list[Model]]
Watch = Callable[[int], None]

_STEPS_IN_A_CALL = 100  # where many networks are trained at once: between two looks at how far it is


class Trainer:
    """Trains several fresh networks: all at once where the device gains by it, else one after the other.

    Parameters
    ----------
    network, schedule
        What is trained, and how.
    watch
        Called with the training steps done, now and then; not where networks come one by one.
    """

    def __init__(self, network: Network, schedule: Schedule, watch: Watch) -> None:
        self._train = make_trainer(network, schedule)
        self._together = None
        if not current_platform().unroll:
            self._together = make_trainer_of_many(network, schedule, watch)

    def on_one(self, keys: Array, own: TrainingSet) -> Iterable[Model]:
        """Train a network from each key, all on one set."""
        if self._together is not None:
            return self._together(keys, *own)
        return self._in_turn(keys, itertools.repeat(own, len(keys)))

    def on_each(self, keys: Array, sets: Iterable[TrainingSet]) -> Iterable[Model]:
        """Train a network from each key on a set of its own."""
        if self._together is not None:
            images, labels = (jnp.stack(part) for part in zip(*sets, strict=True))
            return self._together(keys, images, labels)
        return self._in_turn(keys, sets)

    def _in_turn(self, keys: Array, sets: Iterable[TrainingSet]) -> Iterable[Model]:
        return (self._train(key, *one) for key, one in zip(keys, sets, strict=True))


def make_trainer(network: Network, schedule: Schedule) -> Train:
    """Return ``(key, images [n, H, W, c], labels [n, C]) -> model``: a fresh network, trained."""
    course = make_course(network, schedule, (schedule.steps,))

    def train(key: Array, images: npt.NDArray[Any], labels: npt.NDArray[Any]) -> Model:
        (model,) = course(key, images, labels)
        return model

    return train


def make_course(network: Network, schedule: Schedule, stops: Sequence[int]) -> Course:
    """Return ``(key, images [n, H, W, c], labels [n, C]) -> models``: a fresh network, at stops.

    Parameters
    ----------
    network
        What is trained.
    schedule
        How.
    stops
        Steps after which the model is given, rising.  A model's memory is used again for the next: be done
        with it before.
    """
    optimizer = schedule.optimizer()

    first = jax.jit(lambda key: pool.fresh_model(network, optimizer, key))
    many = _stepper(_training_step(network, optimizer, schedule))

    def course(key: Array, images: Any, labels: Any) -> Iterator[Model]:
        key_init, key_steps = jax.random.split(key)
        model, rest = first(key_init), (key_steps, jnp.asarray(images), jnp.asarray(labels))
        for before, after in itertools.pairwise((0, *stops)):
            model = many(after - before, model, *rest)
            yield model

    return course


def make_trainer_of_many(network: Network, schedule: Schedule, watch: Watch) -> TrainTogether:
    """Return ``(keys [k], images, labels) -> k models``: what `make_trainer` makes of each key, all at once.

    One program for all of them: much faster than one after the other where a single small network leaves the
    device idle, which is so on a GPU and not on a CPU.

    Parameters
    ----------
    network, schedule
        What is trained, and how.
    watch
        Called with the training steps done, now and then.

    Returns
    -------
    function
        ``images [n, H, W, c]``, ``labels [n, C]`` for all networks, or ``[k, n, ...]`` for each its own.
    """
    optimizer = schedule.optimizer()
    step = _training_step(network, optimizer, schedule)

    def one_step(models: Model, keys: Array, images: Array, labels: Array) -> Model:
        of_each = 0 if images.ndim == 5 else None
        return jax.vmap(step, (0, 0, of_each, of_each))(models, keys, images, labels)

    @partial(jax.jit, donate_argnums=0)
    def some(models: Model, count: Array, *rest: Array) -> Model:
        return jax.lax.fori_loop(0, count, lambda _, each: one_step(each, *rest), models)

    first = jax.jit(jax.vmap(lambda key: pool.fresh_model(network, optimizer, key)))

    def train(keys: Array, images: Array, labels: Array) -> list[Model]:
        of_init, of_steps = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        models = first(of_init)
        for done in range(0, schedule.steps, _STEPS_IN_A_CALL):
            count = min(_STEPS_IN_A_CALL, schedule.steps - done)
            models = jax.block_until_ready(some(models, np.int32(count), of_steps, images, labels))
            watch(done + count)
        return [jax.tree.map(lambda leaf, k=k: leaf[k], models) for k in range(len(keys))]

    return train


def _training_step(
    network: Network, optimizer: optax.GradientTransformation, schedule: Schedule
) -> Callable[[Model, Array, Array, Array], Model]:
    """``(model, key, images, labels) -> model``; the model's age tells the steps of one key apart."""

    def step(model: Model, key: Array, images: Array, labels: Array) -> Model:
        key_batch, key_augment = jax.random.split(jax.random.fold_in(key, model.age))
        if len(labels) > LARGEST_BATCH:
            chosen = jax.random.choice(key_batch, len(labels), (LARGEST_BATCH,), replace=False)
            images, labels = images[chosen], labels[chosen]
        if schedule.augment:
            images = augment(key_augment, images)

        return pool.train(network, optimizer, model, images, labels)

    return step


def _stepper(
    step: Callable[[Model, Array, Array, Array], Model],
) -> Callable[[int, Model, Array, Array, Array], Model]:
    """Many steps of a training: driven from Python on a CPU, inside a program elsewhere."""
    if current_platform().unroll:
        compiled = jax.jit(step, donate_argnums=0)

        def driven(steps: int, state: Model, *rest: Array) -> Model:
            for _ in range(steps):
                state = compiled(state, *rest)
            return state

        return driven

    def inside(steps: Array, state: Model, *rest: Array) -> Model:
        return jax.lax.fori_loop(0, steps, lambda _, s: step(s, *rest), state)

    return jax.jit(inside)


def make_logits(network: Network) -> Callable[[Model, Images], npt.NDArray[np.float32]]:
    """Return ``(model, images [n, H, W, c]) -> logits [n, C]``, by the model's running statistics."""

    @jax.jit
    def predict(model: Model, batch: Array) -> Array:
        return network.with_statistics(model.statistics).apply(model.parameters, batch)[0]

    def logits(model: Model, images: Images) -> npt.NDArray[np.float32]:
        found = []
        for start in range(0, len(images), _TEST_BATCH):
            batch = images[start : start + _TEST_BATCH]
            missing = _TEST_BATCH - len(batch)
            padded = np.pad(batch, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else batch
            found.append(np.asarray(predict(model, padded))[: len(batch)])
        return np.concatenate(found)

    return logits


def make_accuracy(network: Network, images: Images, classes: npt.NDArray[Any]) -> Callable[[Model], float]:
    """Return ``model -> share of the images classified correctly``, by its running statistics."""
    logits = make_logits(network)
    return lambda model: float((logits(model, images).argmax(axis=1) == classes).mean())
