"""Outer steps on one CPU: a few programs, driven from Python."""

import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.distillation import pool as pools
from rcig_cli.distillation.bilevel.problem import average
from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Tree
from rcig_cli.distillation.step import Info, Learner, Step
from rcig_cli.runs.engine.batches import Batches, ReadAhead
from rcig_cli.runs.engine.draws import Draws, draw_each, step_keys
from rcig_cli.runs.engine.program import Program
from rcig_cli.runs.engine.state import Fetch, RunState, shape_of_model, size_in_bytes


class Driven:
    """Advances a run on one CPU.

    Parameters
    ----------
    step, config, seed
        The functions of a step, the algorithm's settings, and the run's seed.
    batches
        The real images of each step.
    """

    most = 1

    def __init__(self, step: Step, config: AlgorithmConfig, seed: int, batches: Batches) -> None:
        self._batches, self._models = batches, config.models
        self._ahead = ReadAhead(lambda step, _: batches.of(step))
        share = config.pool_size // config.models
        keys = step_keys(seed, config.models)

        def draws_of(number: Array) -> list[Draws]:
            return draw_each(keys, number, share, config.pool_steps)

        def train(model: Model, learner: Learner, key: Array) -> Model:
            return step.train(model, learner.psi, key)

        def put_back(pool: Model, index: Array, model: Model, fresh: Array) -> Model:
            return pools.put(pool, index, step.renew(model, fresh))

        def update(
            learner: Learner, points: list[Tree], images: Array, classes: Array, keys: list[Array]
        ) -> tuple[Learner, Info]:
            each = zip(points, images, classes, keys, strict=True)
            return step.accept(learner, average([step.propose(learner, *one) for one in each]))

        self._draws_of, self._pick, self._train = jax.jit(draws_of), jax.jit(pools.pick), jax.jit(train)
        self._put_back = jax.jit(put_back, donate_argnums=0)
        self._update = Program(update)

    def compile(self, state: RunState) -> int:
        """Compile the step for a state's shapes; return the bytes of memory that a run takes."""
        images, classes = self._batches.shapes
        keys = [jax.eval_shape(lambda: jax.random.key(0))] * self._models
        points = [shape_of_model(state)] * self._models
        taken = self._update.compile(state.learner, points, images, classes, keys)
        return taken + size_in_bytes(state.pool) + self._batches.real.bytes_in_memory

    def advance(self, state: RunState, first: int, count: int) -> tuple[RunState, Fetch]:
        """``count`` outer steps, from number ``first`` on."""
        infos: list[Info] = []
        for number in range(first, first + count):
            state, info = self._one(state, number)
            infos.append(info)
        return state, lambda: jax.device_get(infos)

    def _one(self, state: RunState, number: int) -> tuple[RunState, Info]:
        learner, pool = state
        each = self._draws_of(jnp.uint32(number))
        models = [self._pick(pool, one.model) for one in each]
        points = [model.parameters for model in models]
        keys = [one.subsets for one in each]
        learner, info = self._update(learner, points, *self._ahead.take(number, 1), keys)
        for one, model in zip(each, models, strict=True):
            for _ in range(int(one.training_steps)):
                model = self._train(model, learner, one.training_subsets)
            pool = self._put_back(pool, one.model, model, one.fresh)
        return RunState(learner, pool), info
