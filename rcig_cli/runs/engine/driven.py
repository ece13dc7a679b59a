"""Outer steps on one CPU device: a few compiled programs, driven from Python."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from typing_extensions import override

from rcig_cli.distillation import pool as pools
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Distilled, Tree
from rcig_cli.distillation.step import Info, Learner, Step, averaged
from rcig_cli.runs.engine.base import Engine, Fetch, RunState
from rcig_cli.runs.engine.batches import Batches, ReadAhead
from rcig_cli.runs.engine.environment import jit
from rcig_cli.runs.engine.programs import Programs
from rcig_cli.runs.engine.randomness import Use, key_for


class Driven(Engine):
    """Advance a run on one CPU device."""

    most = 1

    def __init__(self, step: Step, seed: int, batches: Batches, mesh: Mesh) -> None:
        super().__init__(step, seed, batches, mesh)
        self._ahead = ReadAhead(lambda step, _: batches.of(step))

        def train(model: Model, learner: Learner, key: Array) -> Model:
            return step.train(model, learner.psi, key)

        def update(
            learner: Learner, points: list[Tree], images: Array, classes: Array, keys: list[Array]
        ) -> tuple[Learner, Info]:
            each = zip(points, images, classes, keys, strict=True)
            return step.accept(learner, averaged([step.propose(learner, *one) for one in each]))

        self._keys_of_pool = jax.random.split(key_for(seed, Use.POOL), step.pool_size)
        self._start_learner, self._fresh = jit(step.start), jit(step.fresh)
        self.start = self._start
        self._pick = jit(pools.pick)
        self._augmented = jit(batches.augmented) if batches.augmentations else None
        self._put_back = jit(pools.put, donate_argnums=0)
        self._update, self._train = Programs(update), Programs(train)
        self._pool: Model | None = None  # after the newest step
        self._ages = np.zeros(0, np.int32)  # of its models, on the host

    @override
    def compile(self, state: RunState) -> int:
        images, classes = self._batches.shapes
        keys = [jax.eval_shape(lambda: jax.random.key(0))] * self._step.models
        points = [jax.tree.map(_shape_of_one, state.pool.parameters)] * self._step.models
        taken = self._update.compile(state.learner, points, images, classes, keys)
        pool = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state.pool))
        return taken + pool + self._batches.real.bytes_in_memory

    @override
    def advance(self, state: RunState, first: int, count: int) -> tuple[RunState, Fetch]:
        infos: list[Info] = []
        for number in range(first, first + count):
            state, info = self._one(state, number)
            infos.append(info)
        return state, lambda: jax.device_get(infos)

    def _start(self, psi: Distilled) -> RunState:
        models = [jax.device_get(self._fresh(key)) for key in self._keys_of_pool]
        pool = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *models)
        return RunState(self._start_learner(psi), pool)

    def _one(self, state: RunState, number: int) -> tuple[RunState, Info]:
        learner, pool = state
        each = self._draws_of(jnp.uint32(number))
        models = [self._pick(pool, one.model) for one in each]
        points = [model.parameters for model in models]
        keys = [one.subsets for one in each]
        images, classes = self._ahead.take(number, 1)
        if self._augmented:
            images = self._augmented(images, jnp.uint32(number))
        learner, info = self._update(learner, points, images, classes, keys)
        if pool is not self._pool:
            self._ages = np.array(pool.age)
        for one, model in zip(each, models, strict=True):
            index, training_steps = int(one.model), int(one.training_steps)
            for _ in range(training_steps):
                model = self._train(model, learner, one.training_subsets)
            self._ages[index] += training_steps
            if self._ages[index] >= self._step.max_age:
                model, self._ages[index] = self._fresh(one.fresh), 0
            pool = self._put_back(pool, one.model, model)
        self._pool = pool
        return RunState(learner, pool), info


def _shape_of_one(stacked: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(stacked.shape[1:], stacked.dtype)
