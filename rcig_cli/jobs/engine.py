"""One outer step, compiled for the device at hand.

On a CPU the step is a few programs driven from Python, since a convolution inside an XLA loop is slow there;
on an accelerator it is one program, its loops inside and the real images on the device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from jax import Array
from jax.experimental.xla_metadata import set_xla_metadata

from rcig_cli.distillation import pool as pools
from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.pool import Model
from rcig_cli.distillation.records import Distilled, Tree
from rcig_cli.distillation.step import Info, Learner, Step, make_step
from rcig_cli.jobs.device import processors
from rcig_cli.jobs.draws import Draws, Use, batch_order, draw, key_for
from rcig_cli.networks.network import Network

_MOST_PARTS = 4  # each part is a copy of the network in the program, to be compiled
_PIECE = 16  # images; at 32 px and width 32 what a layer holds of them fits in a core's cache


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


@dataclass(frozen=True, eq=False)
class Engine:
    """What a run calls.

    Attributes
    ----------
    start
        ``psi -> RunState``.
    advance
        ``(state, step) -> (state, Info)``: outer step number ``step``, from 0.  The old state is used up.
    product
        ``state -> Distilled``.
    inner_is_monotone, hessian_is_monotone
        ``(state, rate) -> bool`` and ``(state, inner rate, rate) -> bool``: whether an Adam solve at the
        first step has falling losses.
    """

    start: Callable[[Distilled], RunState]
    advance: Callable[[RunState, int], tuple[RunState, Info]]
    product: Callable[[RunState], Distilled]
    inner_is_monotone: Callable[[RunState, float], bool]
    hessian_is_monotone: Callable[[RunState, float, float], bool]


class RealData(NamedTuple):
    """The real training images, ``[N, H, W, c]``, and their classes, ``[N]``."""

    images: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]


def current_platform() -> Platform:
    """Lay loops and batches out for JAX's default device."""
    if jax.default_backend() == "cpu":
        return Platform(True, min(processors(), _MOST_PARTS), _PIECE, _settle)
    return Platform(unroll=False, parts=1)


def _settle(tree: Tree) -> Tree:
    """Pass a pytree through a call that XLA leaves a call, and so does not compute across."""
    with set_xla_metadata(inlineable="false"):  # type: ignore[no-untyped-call]
        return jax.jit(lambda leaves: leaves)(tree)


def make_engine(
    network: Network, config: AlgorithmConfig, real: RealData, *, batch: int, seed: int
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
    """
    platform = current_platform()
    step = make_step(network, config, platform)
    order = batch_order(key_for(seed, Use.DATA), len(real.classes), batch)
    on_cpu = platform.unroll
    advance = _driven(step, config, real, seed) if on_cpu else _whole(step, config, real, seed)
    solve_inner, solve_hessian = jax.jit(step.solve_inner), jax.jit(step.solve_hessian)

    def first_model(state: RunState) -> Tree:
        return jax.tree.map(lambda leaf: leaf[0], state.pool.parameters)

    def inner_is_monotone(state: RunState, rate: float) -> bool:
        return bool(solve_inner(state.learner.psi, first_model(state), jnp.float32(rate)).monotone)

    def hessian_is_monotone(state: RunState, inner_rate: float, rate: float) -> bool:
        theta_0, first = first_model(state), order(0)
        theta_B = solve_inner(state.learner.psi, theta_0, jnp.float32(inner_rate)).value
        images, classes = jnp.asarray(real.images[first]), jnp.asarray(real.classes[first])
        solution = solve_hessian(state.learner.psi, theta_0, theta_B, jnp.float32(rate), images, classes)
        return bool(solution.monotone)

    return Engine(
        start=_starter(step, config, seed),
        advance=lambda state, number: advance(state, number, order(number)),
        product=jax.jit(lambda state: step.product(state.learner)),
        inner_is_monotone=inner_is_monotone,
        hessian_is_monotone=hessian_is_monotone,
    )


Advance = Callable[[RunState, int, npt.NDArray[np.int64]], tuple[RunState, Info]]


def _starter(step: Step, config: AlgorithmConfig, seed: int) -> Callable[[Distilled], RunState]:
    def start(psi: Distilled) -> RunState:
        keys = jax.random.split(key_for(seed, Use.POOL), config.pool_size)
        return RunState(step.start(psi), jax.vmap(step.fresh)(keys))

    return jax.jit(start)


def _drawer(config: AlgorithmConfig, seed: int) -> Callable[[int], Draws]:
    key = key_for(seed, Use.STEPS)
    compiled = jax.jit(lambda number: draw(key, number, config.pool_size, config.pool_steps))
    return lambda number: compiled(jnp.uint32(number))


def _driven(step: Step, config: AlgorithmConfig, real: RealData, seed: int) -> Advance:
    """An outer step as several programs, driven from Python."""
    draws_of, pick = _drawer(config, seed), jax.jit(pools.pick)
    update, train = jax.jit(step.update), jax.jit(step.train)

    def put_back(pool: Model, index: Array, model: Model, fresh: Array) -> Model:
        return pools.put(pool, index, step.renew(model, fresh))

    put = jax.jit(put_back, donate_argnums=0)

    def advance(state: RunState, number: int, chosen: npt.NDArray[np.int64]) -> tuple[RunState, Info]:
        draws = draws_of(number)
        model = pick(state.pool, draws.model)
        images, classes = real.images[chosen], real.classes[chosen]
        learner, info = update(state.learner, model.parameters, images, classes)
        for _ in range(int(draws.training_steps)):
            model = train(model, learner.psi)
        return RunState(learner, put(state.pool, draws.model, model, draws.fresh)), info

    return advance


def _whole(step: Step, config: AlgorithmConfig, real: RealData, seed: int) -> Advance:
    """An outer step as one program, the real images on the device."""
    draws_of = _drawer(config, seed)
    on_device = jax.device_put(real)

    def whole(state: RunState, draws: Draws, chosen: Array, real: Any) -> tuple[RunState, Info]:
        model = pools.pick(state.pool, draws.model)
        batch = real.images[chosen], real.classes[chosen]
        learner, info = step.update(state.learner, model.parameters, *batch)
        model = jax.lax.fori_loop(0, draws.training_steps, lambda _, m: step.train(m, learner.psi), model)
        pool = pools.put(state.pool, draws.model, step.renew(model, draws.fresh))
        return RunState(learner, pool), info

    compiled = jax.jit(whole, donate_argnums=0)
    return lambda state, number, chosen: compiled(state, draws_of(number), jnp.asarray(chosen), on_device)
