"""The state of a run between two outer steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Tree
from rcig_cli.distillation.step import Info, Learner


class RunState(NamedTuple):
    """The whole state of a run; with the seed and the step, everything that follows follows from it.

    Attributes
    ----------
    learner
        psi, its optimizer, its average, and the learning rates of the solves.
    pool
        The pool models, stacked.
    """

    learner: Learner
    pool: Model


Fetch = Callable[[], list[Info]]  # waits for the numbers of some steps


def shape_of_model(state: RunState) -> Tree:
    """Shapes of the parameters of one pool model."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), state.pool.parameters)


def size_in_bytes(tree: Any) -> int:
    """Bytes that the arrays of a pytree (or those of its shapes) take."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
