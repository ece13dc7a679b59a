"""Outer steps, compiled for the devices at hand.

On one CPU device a step is a few programs driven from Python (`driven`), since a convolution inside an XLA
loop is slow there; elsewhere many steps are one program, over all devices (`sharded`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import Distilled
from rcig_cli.distillation.step import Learner, Step
from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.engine.driven import Driven
from rcig_cli.runs.engine.environment import jit
from rcig_cli.runs.engine.mesh import BATCH, current_platform, make_mesh, put
from rcig_cli.runs.engine.program import Fetch, RunState
from rcig_cli.runs.engine.randomness import Use, key_for
from rcig_cli.runs.engine.sharded import STATE, Sharded


@dataclass(frozen=True, eq=False)
class Engine:
    """The compiled functions of a run.

    Attributes
    ----------
    start
        ``psi -> RunState``.
    compile
        ``state -> bytes``: compile the step for a state, or for its shapes, and return the memory that a run
        needs.
    advance
        ``(state, step, count) -> (state, fetch)``: take ``count`` outer steps from number ``step`` on (the
        first is 0).  The old state can't be used any more; ``fetch()`` waits for the steps' numbers.
    most
        The most steps in a call.
    product
        ``state -> Distilled``.
    place, gather
        A state of numpy arrays, as a checkpoint has it, onto the devices, and back.
    tune
        ``(state, check_for_stop) -> Learner``: set learning rates before the first step, calling
        ``check_for_stop`` before each trial; the learner's leaves are numpy arrays.  None if the method has
        nothing to tune.
    """

    start: Callable[[Distilled], RunState]
    compile: Callable[[RunState], int]
    advance: Callable[[RunState, int, int], tuple[RunState, Fetch]]
    most: int
    product: Callable[[RunState], Distilled]
    place: Callable[[RunState], RunState]
    gather: Callable[[RunState], RunState]
    tune: Callable[[RunState, Callable[[], None]], Learner] | None


def make_engine(
    make_step: Callable[[Platform], Step],
    real: RealData,
    *,
    batch: int,
    seed: int,
    devices: Sequence[jax.Device] | None = None,
) -> Engine:
    """Compile a run's functions.

    Parameters
    ----------
    make_step
        The method's functions for a layout.
    real
        The real training images.
    batch, seed
        Real images per outer step, and the run's seed.
    devices
        Devices to use; default: the first device JAX lists.

    Raises
    ------
    ConfigError
        If the batch can't be divided evenly among the devices.
    """
    platform = current_platform()
    step = make_step(platform)
    mesh = make_mesh(devices or jax.devices()[:1], step.models, min(batch, len(real.classes)))
    batches = Batches(real, batch, step.models, seed)
    advancer: Driven | Sharded
    if platform.unroll and mesh.size == 1:
        advancer = Driven(step, seed, batches)
    else:
        shared = make_step(replace(platform, average=lambda tree: jax.lax.pmean(tree, BATCH)))
        advancer = Sharded(shared, seed, batches, mesh, in_loop=not platform.unroll)
    parts: Any = (NamedSharding(mesh, spec) for spec in STATE)
    laid = RunState(*parts)
    everywhere = NamedSharding(mesh, P())
    whole = jit(lambda state: state, out_shardings=everywhere)

    def start(psi: Distilled) -> RunState:
        keys = jax.random.split(key_for(seed, Use.POOL), step.pool_size)
        return RunState(step.start(psi), jax.vmap(step.fresh)(keys))

    def gather(state: RunState) -> RunState:
        gathered: RunState = jax.tree.map(np.asarray, whole(state))
        return gathered

    def tune(state: RunState, check_for_stop: Callable[[], None]) -> Learner:
        assert step.tune is not None
        learner, pool = gather(state)
        theta_0 = jax.tree.map(lambda leaf: leaf[0], pool.parameters)
        images, classes = (leaf[0] for leaf in batches.of(0))
        key = key_for(seed, Use.TUNING)
        tuned = step.tune(learner, theta_0, images, classes, key, compile=jit, check_for_stop=check_for_stop)
        return jax.tree.map(np.asarray, tuned)

    return Engine(
        start=jit(start, out_shardings=laid),
        compile=advancer.compile,
        advance=advancer.advance,
        most=advancer.most,
        product=jit(lambda state: step.product(state.learner), out_shardings=everywhere),
        place=lambda state: RunState(
            *(put(part, mesh, spec, own=True) for part, spec in zip(state, STATE, strict=True))
        ),
        gather=gather,
        tune=tune if step.tune is not None else None,
    )
