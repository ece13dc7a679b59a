"""The pool of partially trained models at which we linearise (paper, 3.3).

Each outer step picks one, and afterwards trains it on the distilled set as an ordinary network: all
parameters, mean squared error, Adam.  A model that has had its share of steps is replaced by a fresh one.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from rcig_cli.distillation.linearized import Apply
from rcig_cli.distillation.records import Tree


class Model(NamedTuple):
    """A partially trained model; stacked along a first axis, a pool of them.

    Attributes
    ----------
    parameters
        A network's parameters.
    optimizer
        The state of its Adam.
    age
        Training steps it has had, ``[]`` int32.
    """

    parameters: Tree
    optimizer: optax.OptState
    age: Array


def fresh_model(init: Callable[[Array], Tree], optimizer: optax.GradientTransformation, key: Array) -> Model:
    """A model that has had no training."""
    parameters = init(key)
    return Model(parameters, optimizer.init(parameters), jnp.zeros((), jnp.int32))


def pick(pool: Model, index: Array) -> Model:
    """Take model ``index`` out of a stacked pool."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), pool)


def put(pool: Model, index: Array, model: Model) -> Model:
    """A stacked pool with model ``index`` replaced."""
    return jax.tree.map(
        lambda leaf, new: jax.lax.dynamic_update_index_in_dim(leaf, new, index, 0), pool, model
    )


def train(
    apply: Apply, optimizer: optax.GradientTransformation, model: Model, images: Array, labels: Array
) -> Model:
    """One step of ordinary training on ``images [n, H, W, c]``, ``labels [n, C]``."""

    def squared_error(parameters: Tree) -> Array:
        return jnp.mean((apply(parameters, images)[0] - labels) ** 2)

    gradient = jax.grad(squared_error)(model.parameters)
    update, state = optimizer.update(gradient, model.optimizer)
    return Model(optax.apply_updates(model.parameters, update), state, model.age + 1)


def renew(model: Model, max_age: int, fresh: Callable[[], Model]) -> Model:
    """The model, or a fresh one if it has had ``max_age`` steps."""
    renewed: Model = jax.lax.cond(model.age >= max_age, fresh, lambda: model)
    return renewed
