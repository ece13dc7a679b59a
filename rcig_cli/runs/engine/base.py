"""The state of a run between two outer steps, and the base class of the engines that advance it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Distilled
from rcig_cli.distillation.step import Info, Learner, Step
from rcig_cli.runs.engine.batches import Batches
from rcig_cli.runs.engine.environment import jit
from rcig_cli.runs.engine.mesh import MODELS, put
from rcig_cli.runs.engine.randomness import Draws, Use, draw_each, key_for, step_keys


class RunState(NamedTuple):
    """The whole state of a run; with the seed and the step, it determines the rest of the run.

    Attributes
    ----------
    learner
        psi, its optimizer, its average, and the learning rates of the solves.
    pool
        The pool models, stacked.
    """

    learner: Learner
    pool: Model


STATE: Any = RunState(P(), P(MODELS))  # type: ignore[arg-type]  # its layout on a mesh
Fetch = Callable[[], list[Info]]  # waits for the metrics of some steps


class Engine(ABC):
    """The compiled functions of a run.

    Parameters
    ----------
    step, seed
        The method's functions, and the run's seed.
    batches
        The real images of each step.
    mesh
        The devices.

    Attributes
    ----------
    most
        The most steps in a call of `advance`.
    start, product
        Compiled functions: ``psi ->`` the state before the first step, and ``state ->`` the distilled set.
    training_steps
        Compiled: ``numbers [k] -> [k]``, how many steps of ordinary training the pool models get in outer
        steps of these numbers, from 0.
    """

    most: int

    def __init__(self, step: Step, seed: int, batches: Batches, mesh: Mesh) -> None:
        self._step, self._seed, self._batches, self._mesh = step, seed, batches, mesh
        parts: Any = (NamedSharding(mesh, spec) for spec in STATE)
        everywhere = NamedSharding(mesh, P())

        def start(psi: Distilled) -> RunState:
            keys = jax.random.split(key_for(seed, Use.POOL), step.pool_size)
            return RunState(step.start(psi), jax.vmap(step.fresh)(keys))

        self._begin = start
        self.start: Callable[[Distilled], RunState] = jit(start, out_shardings=RunState(*parts))
        self.product: Callable[[RunState], Distilled] = jit(
            lambda state: step.product(state.learner), out_shardings=everywhere
        )
        keys, share = step_keys(seed, step.models), step.pool_size // step.models

        def draws_of(number: Array) -> list[Draws]:
            return draw_each(keys, number, share, step.training_range)

        def training_steps(number: Array) -> Array:
            return jnp.sum(jnp.stack([one.training_steps for one in draws_of(number)]))

        self._draws_of: Callable[[Array], list[Draws]] = jit(draws_of)
        self.training_steps: Callable[[Any], Array] = jit(jax.vmap(training_steps))
        self._whole = jit(lambda state: state, out_shardings=everywhere)

    @abstractmethod
    def compile(self, state: RunState) -> int:
        """Compile the step for a state, or for its shapes; return the bytes of memory that a run needs."""

    @abstractmethod
    def advance(self, state: RunState, first: int, count: int) -> tuple[RunState, Fetch]:
        """Take ``count`` outer steps from number ``first`` on, counted from 0.

        The old state can't be used any more.  The returned function waits for the steps' metrics.
        """

    def template(self, psi: Distilled) -> RunState:
        """Return the shapes of the state before the first step."""
        return jax.eval_shape(self._begin, psi)

    def place(self, state: RunState) -> RunState:
        """Put a state of numpy arrays, as a checkpoint has it, onto the devices."""
        parts = zip(state, STATE, strict=True)
        return RunState(*(put(part, self._mesh, spec, own=True) for part, spec in parts))

    def gather(self, state: RunState) -> RunState:
        """Return a state as numpy arrays."""
        gathered: RunState = jax.tree.map(np.asarray, self._whole(state))
        return gathered

    def tune(self, state: RunState, check_for_stop: Callable[[], None]) -> Learner | None:
        """Set learning rates before the first step, calling ``check_for_stop`` before each trial.

        Returns
        -------
        Learner or None
            With numpy arrays as leaves; None if the method has nothing to tune.
        """
        if self._step.tune is None:
            return None
        learner, pool = self.gather(state)
        theta_0 = jax.tree.map(lambda leaf: leaf[0], pool.parameters)
        images, classes = (leaf[0] for leaf in self._batches.of(0))
        key = key_for(self._seed, Use.TUNING)
        tuned = self._step.tune(
            learner, theta_0, images, classes, key, compile=jit, check_for_stop=check_for_stop
        )
        return jax.tree.map(np.asarray, tuned)
