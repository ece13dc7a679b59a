"""The speed of one compiled outer step, as ratios taken in one run: ``make bench``.

Two ratios, for a ConvNet of width 32 on 32 px RGB images, 10 distilled images plus their mirror images, 256
real ones, 20 + 20 Adam steps:

``speedup_over_oracle``   time of the same step in a plain implementation (tests/oracles/plain_step.py),
                          divided by that of the package's step
``share_of_matmul_rate``  counted floating-point operations per second of the step (runs/engine/flops.py),
                          divided by those of a product of two 4096 x 4096 matrices

It also measures the second ratio for the default solver of the digits preset, for 10 images per class, and
for 1000 images with gradients through 200 of them; and

``loop_over_bare_step``   steps per second of a run's loop (including the reading of real images, random
                          draws, the pool and the fetching of metrics), divided by those of the bare step: the
                          same compiled functions with the same pool training, on arguments in memory

The last line is JSON. Times are medians; the oracle, the step and the product are timed in turn.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import CLASSES, DEPTH, SIDE, network_of, problem, seconds  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np

from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.methods.rcig import RcigSettings
from rcig_cli.distillation.task import Task
from rcig_cli.presets.config import resolve
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.engine import make_engine
from rcig_cli.runs.engine.flops import count
from rcig_cli.runs.engine.randomness import draw, step_keys
from tests.oracles.plain_step import PlainConvNet, make_plain_update, plain_apply

WIDTH, BATCH, MATRIX = 32, 256, 4096

PAPER = RcigSettings(solver="adam", inner_steps=20, hessian_steps=20)
DEFAULT = resolve("digits", (SIDE, SIDE, 3), CLASSES, {"ipc": 1}).method
SUBSET = replace(DEFAULT, flip=False, backward_subset=200)


def compare(ipc: int, settings: RcigSettings, *, with_oracle: bool, rounds: int = 7) -> dict[str, float]:
    """Time a step, a matrix product and, once, the oracle; return the ratios."""
    step, arguments = problem(ipc * CLASSES, BATCH, WIDTH, settings)
    learner, theta_0, images, classes, _ = arguments
    ours = jax.jit(step.update)
    matrix = jax.random.normal(jax.random.key(1), (MATRIX, MATRIX))
    product = jax.jit(jnp.matmul)
    seconds(ours, *arguments), seconds(product, matrix, matrix)  # compile
    times = np.array([(seconds(ours, *arguments), seconds(product, matrix, matrix)) for _ in range(rounds)])
    step_time, product_time = np.median(times, axis=0)
    work = count(step.update, *arguments)
    result = {
        "seconds": step_time,
        "gflop": work / 1e9,
        "share_of_matmul_rate": (work / step_time) / (2 * MATRIX**3 / product_time),
        "matmul_gflop_per_second": 2 * MATRIX**3 / product_time / 1e9,
    }
    if with_oracle:
        plain = jax.jit(make_plain_update(plain_apply(PlainConvNet(DEPTH, WIDTH)), settings))
        rates = jnp.array([1e-4, 1e-4])
        slow = learner.psi, rates, theta_0, images, classes
        seconds(plain, *slow)
        turns = [(seconds(plain, *slow), *(seconds(ours, *arguments) for _ in range(4))) for _ in range(3)]
        result["oracle_seconds"] = float(np.median([turn[0] for turn in turns]))
        again = float(np.median([turn[1:] for turn in turns]))
        result["speedup_over_oracle"] = result["oracle_seconds"] / again
    return {name: float(f"{value:.4g}") for name, value in result.items()}


def loop_over_bare_step(settings: RcigSettings, steps: int = 24, rounds: int = 3) -> dict[str, float]:
    """Time a run's loop and the bare step in turn; return steps per second, and their ratio."""
    step, (learner, theta_0, images, classes, key) = problem(CLASSES, BATCH, WIDTH, settings)
    random = np.random.default_rng(0)
    many = random.normal(size=(10 * BATCH, SIDE, SIDE, 3)).astype(np.float32)
    real = RealData(many, np.arange(len(many), dtype=np.int32) % CLASSES)
    network, make = network_of(WIDTH), METHODS["rcig"].make
    engine = make_engine(lambda platform: make(Task(network, platform), settings), real, batch=BATCH, seed=0)
    update, train = jax.jit(step.update), jax.jit(step.train)
    keys = step_keys(0, 1)
    drawn = [int(draw(keys[0], jnp.uint32(n), 30, 15).training_steps) for n in range(2 + rounds * steps)]
    state, model = engine.start(learner.psi), step.fresh(key)

    def loop(first: int, state: Any) -> Any:
        fetches: list[Callable[[], Any]] = []
        for number in range(first, first + steps, engine.most):
            state, fetch = engine.advance(state, number, min(engine.most, first + steps - number))
            fetches.append(fetch)
        for fetch in fetches:
            fetch()
        return jax.block_until_ready(state)

    def bare(first: int) -> None:
        at, trained = learner, model
        for number in range(first, first + steps):
            at, _ = update(at, theta_0, images, classes, key)
            for _ in range(drawn[number]):
                trained = train(trained, at.psi)
        jax.block_until_ready((at, trained))

    state, fetch = engine.advance(state, 0, 1)
    fetch(), seconds(update, learner, theta_0, images, classes, key), seconds(train, model, learner.psi)
    times = []
    for round_ in range(rounds):
        first, start = 1 + round_ * steps, time.perf_counter()
        state = loop(first, state)
        middle = time.perf_counter()
        bare(first)
        times.append((middle - start, time.perf_counter() - middle))
    ours, plain = np.median(times, axis=0)
    found = {"steps_per_second": steps / ours, "bare": steps / plain, "loop_over_bare_step": plain / ours}
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def main() -> None:
    """Print a line for each case, and the two figures as JSON."""
    named = {
        "20+20 Adam, 10 images": compare(1, PAPER, with_oracle=True),
        "default solver, 10 images": compare(1, replace(DEFAULT, flip=True), with_oracle=False),
        "default solver, 100 images": compare(10, replace(DEFAULT, flip=True), with_oracle=False),
        "20+20 Adam, 100 images": compare(10, PAPER, with_oracle=False, rounds=3),
        "default solver, 1000 images, subset of 200": compare(100, SUBSET, with_oracle=False, rounds=3),
        "loop": loop_over_bare_step(replace(DEFAULT, flip=True)),
    }
    for name, figures in named.items():
        print(f"{name}: {figures}")
    first = named["20+20 Adam, 10 images"]
    print(
        json.dumps(
            {
                "loop_over_bare_step": named["loop"]["loop_over_bare_step"],
                "speedup_over_oracle": first["speedup_over_oracle"],
                "share_of_matmul_rate": first["share_of_matmul_rate"],
                "others": {name: figures for name, figures in named.items() if figures is not first},
            }
        )
    )


if __name__ == "__main__":
    main()
