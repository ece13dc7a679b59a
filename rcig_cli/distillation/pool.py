"""The pool of partially trained models at which networks are linearized (paper, 3.3).

Each outer step picks a model, and afterwards trains it on the distilled set as an ordinary network: all
parameters, mean squared error, Adam.  After its maximum number of training steps, a model is replaced by a
fresh one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Tree, split
from rcig_cli.distillation.settings import PoolSettings
from rcig_cli.networks.network import Network


class Model(NamedTuple):
    """A partially trained model; stacked along a first axis, a pool of them.

    Attributes
    ----------
    parameters
        A network's parameters.
    optimizer
        The state of the optimizer that trains it.
    age
        Training steps it has had, ``[]`` int32.
    statistics
        Running statistics of its normalization layers, used when it is tested.
    """

    parameters: Tree
    optimizer: optax.OptState
    age: Array
    statistics: Tree


@dataclass(frozen=True)
class Pool:
    """The size of the pool and the training of its models.

    Attributes
    ----------
    size
        Models in the pool.
    max_age
        Training steps after which a model is replaced.
    training_steps
        The most training steps that a model gets after each outer step it is used in.
    lr
        Learning rate of Adam.
    """

    size: int
    max_age: int
    training_steps: int
    lr: float

    @classmethod
    def of(cls, settings: PoolSettings) -> "Pool":
        """The pool that settings describe."""
        return cls(settings.pool_size, settings.pool_max_steps, settings.pool_steps, settings.pool_lr)


def fresh_model(network: Network, optimizer: optax.GradientTransformation, key: Array) -> Model:
    """Return an untrained model."""
    parameters = network.init(key)
    age = jnp.zeros((), jnp.int32)
    return Model(parameters, optimizer.init(parameters), age, network.first_statistics())


def pick(pool: Model, index: Array) -> Model:
    """Take model ``index`` out of a stacked pool."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), pool)


def put(pool: Model, index: Array, model: Model) -> Model:
    """Replace model ``index`` of a stacked pool."""
    return jax.tree.map(
        lambda leaf, new: jax.lax.dynamic_update_index_in_dim(leaf, new, index, 0), pool, model
    )


# (logits [b, C], labels [b, C], n) -> [], the part of the mean over n images that these b of them have
Loss = Callable[[Array, Array, int], Array]


def squared_error(logits: Array, labels: Array, count: int) -> Array:
    """Mean squared difference from the labels."""
    return jnp.sum((logits - labels) ** 2) / (count * labels.shape[1])


def cross_entropy(logits: Array, labels: Array, count: int) -> Array:
    """Mean cross-entropy with the largest class of each label, in nats."""
    classes = jnp.argmax(labels, 1)
    return jnp.sum(optax.softmax_cross_entropy_with_integer_labels(logits, classes)) / count


def train(
    network: Network,
    optimizer: optax.GradientTransformation,
    model: Model,
    images: Array,
    labels: Array,
    *,
    loss: Loss = squared_error,
    platform: Platform = Platform(),  # noqa: B008  # immutable
) -> Model:
    """One step of ordinary training on ``images [n, H, W, c]``, ``labels [n, C]``.

    The images are processed in pieces (`Platform.pieces`), unless the network normalizes by the statistics of
    all of them.
    """

    def of_piece(images: Array, labels: Array) -> tuple[Tree, Tree]:
        def of_parameters(parameters: Tree) -> tuple[Array, Tree]:
            logits, statistics = network.train(parameters, model.statistics, images)
            return loss(logits, labels, size), statistics

        return jax.grad(of_parameters, has_aux=True)(model.parameters)

    size, has_statistics = labels.shape[0], bool(jax.tree.leaves(model.statistics))
    count = 1 if has_statistics else platform.pieces(images.shape[0])
    pieces = list(zip(split(images, count), split(labels, count), strict=True))
    gradient, statistics = platform.sum_in_turn(of_piece, pieces)
    update, state = optimizer.update(gradient, model.optimizer, model.parameters)
    return Model(optax.apply_updates(model.parameters, update), state, model.age + 1, statistics)


def renew(model: Model, max_age: int, fresh: Callable[[], Model]) -> Model:
    """Return the model, or a fresh one if it has had ``max_age`` training steps."""
    renewed: Model = jax.lax.cond(model.age >= max_age, fresh, lambda: model)
    return renewed
