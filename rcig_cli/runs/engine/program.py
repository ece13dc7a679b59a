"""The state of a run between two outer steps, and compiled functions that advance it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Tree
from rcig_cli.distillation.step import Info, Learner
from rcig_cli.runs.engine.environment import jit


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


class Program:
    """A function, compiled when it is first called, or before.

    Parameters
    ----------
    function
        What is compiled.
    options
        For `environment.jit`.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self._jitted = jit(function, **options)
        self._compiled: Any = None

    def compile(self, *arguments: Any) -> int:
        """Compile for arguments of these shapes; return the bytes of memory that a call takes, all in all."""
        self._compiled = self._jitted.lower(*arguments).compile()
        analysis = self._compiled.memory_analysis()
        if analysis is None:
            return 0
        taken = analysis.argument_size_in_bytes + analysis.output_size_in_bytes + analysis.temp_size_in_bytes
        return int(taken - analysis.alias_size_in_bytes)

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        return (self._compiled or self._jitted)(*arguments)
