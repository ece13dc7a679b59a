"""Outer steps, compiled for the devices at hand.

On one CPU device a step is a few programs driven from Python (`driven`), since a convolution inside an XLA
loop is slow there; elsewhere many steps are one program, over all devices (`sharded`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.records import Distilled, Tree
from rcig_cli.distillation.step import Step, make_step
from rcig_cli.networks.network import Network
from rcig_cli.runs.engine.batches import Batches, RealData
from rcig_cli.runs.engine.draws import Use, key_for
from rcig_cli.runs.engine.driven import Driven
from rcig_cli.runs.engine.mesh import BATCH, current_platform, make_mesh, put
from rcig_cli.runs.engine.sharded import STATE, Sharded
from rcig_cli.runs.engine.state import Fetch, RunState


class Trials(NamedTuple):
    """Whether an Adam solve, at the first pool model and step, has falling losses.

    Attributes
    ----------
    inner, hessian
        ``rate -> bool`` and ``(inner rate, rate) -> bool``.
    """

    inner: Callable[[float], bool]
    hessian: Callable[[float, float], bool]


@dataclass(frozen=True, eq=False)
class Engine:
    """What a run calls.

    Attributes
    ----------
    start
        ``psi -> RunState``.
    compile
        ``state -> bytes``: compile the step for a state, or its shapes, and say what memory a run takes.
    advance
        ``(state, step, count) -> (state, fetch)``: ``count`` outer steps from number ``step`` on (the first
        is 0).  The old state is used up; ``fetch()`` waits for their numbers.
    most
        The most steps in a call.
    product
        ``state -> Distilled``.
    place, gather
        A state as numpy arrays, as a checkpoint has it, onto the devices, and back.
    trials
        ``state -> Trials``, for tuning the two Adam solves.
    """

    start: Callable[[Distilled], RunState]
    compile: Callable[[RunState], int]
    advance: Callable[[RunState, int, int], tuple[RunState, Fetch]]
    most: int
    product: Callable[[RunState], Distilled]
    place: Callable[[RunState], RunState]
    gather: Callable[[RunState], RunState]
    trials: Callable[[RunState], Trials]


def make_engine(
    network: Network,
    config: AlgorithmConfig,
    real: RealData,
    *,
    batch: int,
    seed: int,
    devices: Sequence[jax.Device] | None = None,
) -> Engine:
    """Compile a run's functions.

    Parameters
    ----------
    network
        What is distilled with.
    config
        The algorithm's settings.
    real
        The real training images.
    batch, seed
        Real images per outer step, and the run's seed.
    devices
        Where; None: on JAX's first.

    Raises
    ------
    ConfigError
        If the batch can't be shared out among the devices.
    """
    platform = current_platform()
    mesh = make_mesh(devices or jax.devices()[:1], config.models, min(batch, len(real.classes)))
    batches = Batches(real, batch, config.models, seed)
    alone = make_step(network, config, platform)
    advancer: Driven | Sharded
    if platform.unroll and mesh.size == 1:
        advancer = Driven(alone, config, seed, batches)
    else:
        shared = replace(platform, average=lambda tree: jax.lax.pmean(tree, BATCH))
        step = make_step(network, config, shared)
        advancer = Sharded(step, config, seed, batches, mesh, in_loop=not platform.unroll)
    parts: Any = (NamedSharding(mesh, spec) for spec in STATE)
    laid = RunState(*parts)
    everywhere = NamedSharding(mesh, P())
    whole = jax.jit(lambda state: state, out_shardings=everywhere)
    return Engine(
        start=jax.jit(_starter(alone, config, seed), out_shardings=laid),
        compile=advancer.compile,
        advance=advancer.advance,
        most=advancer.most,
        product=jax.jit(lambda state: alone.product(state.learner), out_shardings=everywhere),
        place=lambda state: RunState(
            *(put(part, mesh, spec, own=True) for part, spec in zip(state, STATE, strict=True))
        ),
        gather=lambda state: jax.tree.map(np.asarray, whole(state)),
        trials=_trials(alone, batches, seed, everywhere),
    )


def _starter(step: Step, config: AlgorithmConfig, seed: int) -> Callable[[Distilled], RunState]:
    def start(psi: Distilled) -> RunState:
        keys = jax.random.split(key_for(seed, Use.POOL), config.pool_size)
        return RunState(step.start(psi), jax.vmap(step.fresh)(keys))

    return start


def _trials(
    step: Step, batches: Batches, seed: int, everywhere: NamedSharding
) -> Callable[[RunState], Trials]:
    solve_inner, solve_hessian = jax.jit(step.solve_inner), jax.jit(step.solve_hessian)
    key = key_for(seed, Use.TUNING)

    def first(state: RunState) -> tuple[Distilled, Tree]:
        return state.learner.psi, jax.tree.map(lambda leaf: leaf[0], state.pool.parameters)

    def trials(state: RunState) -> Trials:
        at = jax.tree.map(np.asarray, jax.jit(first, out_shardings=everywhere)(state))
        real = tuple(leaf[0] for leaf in batches.of(0))

        def inner(rate: float) -> bool:
            return bool(solve_inner(*at, jnp.float32(rate), key).monotone)

        def hessian(inner_rate: float, rate: float) -> bool:
            theta = solve_inner(*at, jnp.float32(inner_rate), key).value
            return bool(solve_hessian(*at, theta, jnp.float32(rate), real, key).monotone)

        return Trials(inner, hessian)

    return trials
