"""Outer steps as one program over a mesh of devices, many to a call.

    each group, at its own pool models:    a proposal from its part of the real images
    all groups:                            the average proposal, and one step of psi
    each group:                            ordinary training of its models

Pool and real images are divided among the groups; psi is the same on all devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from typing_extensions import override

from rcig_cli.distillation import pool as pools
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Distilled
from rcig_cli.distillation.step import Info, Proposal, Step, averaged
from rcig_cli.runs.engine.base import STATE, Engine, Fetch, RunState
from rcig_cli.runs.engine.batches import Batches, ReadAhead
from rcig_cli.runs.engine.mesh import BATCH, MODELS, own_device, put
from rcig_cli.runs.engine.programs import Program
from rcig_cli.runs.engine.randomness import Draws, draw_each, step_keys

MOST = 32  # steps per call if they can be a loop and the real images are on the device
MOST_READ = 4  # if they are not: the images of twice as many steps wait in memory

_SHARES = P(None, MODELS, BATCH)  # of [steps, models, images]


class Sharded(Engine):
    """Advance a run on the devices of a mesh.

    Parameters
    ----------
    step, seed, batches, mesh
        See `Engine`.
    averaging
        The method's functions, where means are over all devices of a group.
    in_loop
        Whether the steps of a call may be a loop in the program; else a call is one step.
    """

    def __init__(
        self, step: Step, averaging: Step, seed: int, batches: Batches, mesh: Mesh, *, in_loop: bool
    ) -> None:
        super().__init__(step, seed, batches, mesh)
        self._averaging = averaging
        self._here = step.models // mesh.shape[MODELS]  # pool models of one group in a step
        resident = batches.real.fits(own_device(mesh.devices.flat))
        self._real = put(batches.real, mesh, P()) if resident else ()
        self.most = (MOST if resident else MOST_READ) if in_loop else 1
        self._ahead = ReadAhead(self._read)
        specs = (STATE, P(), _SHARES, P(), P())
        many = jax.shard_map(self._many, mesh=mesh, in_specs=specs, out_specs=(STATE, P()), check_vma=False)
        self._program = Program(many, donate_argnums=0)

    @override
    def compile(self, state: RunState) -> int:
        def laid(spec: P, part: Any) -> Any:
            sharding = NamedSharding(self._mesh, spec)
            return jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), part
            )

        placed = RunState(*(laid(spec, part) for spec, part in zip(STATE, state, strict=True)))
        needed = self._read(0, self.most)
        return self._program.compile(placed, self._real, needed, np.uint32(0), np.uint32(1))

    @override
    def advance(self, state: RunState, first: int, count: int) -> tuple[RunState, Fetch]:
        needed = self._ahead.take(first, count)
        state, infos = self._program(state, self._real, needed, np.uint32(first), np.uint32(count))

        def fetch() -> list[Info]:
            columns = jax.device_get(infos)
            return [jax.tree.map(lambda column, i=i: column[i], columns) for i in range(count)]

        return state, fetch

    def _read(self, first: int, count: int) -> Any:
        """Put the real images (or their indices) of a call onto the devices, padded to ``most`` steps."""
        steps = [self._batches.chosen(first + min(i, count - 1)) for i in range(self.most)]
        chosen = np.stack(steps)
        return put(
            chosen.astype(np.int32) if self._real else self._batches.real.take(chosen), self._mesh, _SHARES
        )

    def _many(
        self, state: RunState, real: Any, needed: Any, first: Array, count: Array
    ) -> tuple[RunState, Info]:
        """Take ``count`` steps on each device; their numbers have ``most`` rows."""

        def one(i: Array | int, state: RunState) -> tuple[RunState, Info]:
            batch = jax.tree.map(lambda leaf: leaf[i], needed)
            images, classes = (real.images[batch], real.classes[batch]) if real else batch
            return self._one(state, images, classes, first + jnp.uint32(i))

        if self.most == 1:
            state, info = one(0, state)
            return state, jax.tree.map(lambda leaf: leaf[None], info)

        def body(i: Array, carry: tuple[RunState, Info]) -> tuple[RunState, Info]:
            state, info = one(i, carry[0])
            return state, jax.tree.map(lambda rows, row: rows.at[i].set(row), carry[1], info)

        shapes = jax.eval_shape(lambda: one(0, state)[1])
        rows = jax.tree.map(lambda leaf: jnp.zeros((self.most, *leaf.shape), leaf.dtype), shapes)
        return jax.lax.fori_loop(0, count.astype(jnp.int32), body, (state, rows))

    def _one(self, state: RunState, images: Array, classes: Array, number: Array) -> tuple[RunState, Info]:
        """Take one outer step with ``images [models here, b, H, W, c]`` and ``classes [models here, b]``."""
        first = jax.lax.axis_index(MODELS) * self._here, jax.lax.axis_index(BATCH) * images.shape[1]
        images = self._batches.augmented(images, number, first)
        each = self._draws(number)
        models = [pools.pick(state.pool, one.model) for one in each]
        proposals = [
            self._averaging.propose(state.learner, model.parameters, images[m], classes[m], one.subsets)
            for m, (one, model) in enumerate(zip(each, models, strict=True))
        ]
        learner, info = self._averaging.accept(state.learner, _all_together(averaged(proposals)))
        pool = state.pool
        for one, model in zip(each, models, strict=True):
            trained = self._averaging.renew(self._trained(model, learner.psi, one), one.fresh)
            pool = pools.put(pool, one.model, trained)
        return RunState(learner, pool), info

    def _draws(self, number: Array) -> list[Draws]:
        """Return the draws of this group's models, whose indices are those in its part of the pool."""
        step, first = self._averaging, jax.lax.axis_index(MODELS) * self._here
        keys = step_keys(self._seed, step.models)[first + jnp.arange(self._here)]
        return draw_each(keys, number, step.pool_size // step.models, step.training_range)

    def _trained(self, model: Model, psi: Distilled, draws: Draws) -> Model:
        def train(_: int, model: Model) -> Model:
            return self._averaging.train(model, psi, draws.training_subsets)

        trained = jax.lax.fori_loop(0, draws.training_steps, train, model)
        return jax.tree.map(_same_in_a_group, trained)


def _all_together(proposal: Proposal) -> Proposal:
    """Combine the proposals of all groups."""
    gradient, metrics = jax.lax.pmean((proposal.gradient, proposal.metrics), (MODELS, BATCH))
    return Proposal(gradient, metrics, jax.lax.psum(proposal.counts, MODELS))


def _same_in_a_group(leaf: Array) -> Array:
    """Average over a group, whose devices compute the same, so that rounding errors can't accumulate."""
    return jax.lax.pmean(leaf, BATCH) if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf
