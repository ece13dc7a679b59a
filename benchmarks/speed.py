"""The speed of outer steps, of training, and of compilation, on this machine: ``make bench``.

All for a ConvNet of width 32 on 32 px RGB images of ten classes, distilled images with their mirror images,
256 real images per step:

``whole_step``    an outer step as a run takes it, the training of pool models, random draws and the reading
                  of real images included, with 1 and 10 images per class and the default solver
``evaluation``    a training step of an evaluation's network
``first_step``    seconds that the first outer step of a process takes, the pool of models and compilation
                  included, with an empty and with a filled compilation cache
``over_oracle``   time of a step of 20 + 20 Adam iterations, without the pool, in a plain implementation
                  (tests/oracles/plain_step.py), divided by that of the package's step

``share`` is the number of floating-point operations per second (of products and convolutions:
runs/engine/flops.py), divided by that of a product of two 4096 x 4096 matrices, which is timed in turn with
the steps.  The headline is the share of the whole step.  Times are medians.  The last line is JSON.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measuring  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measuring import CLASSES, DEPTH, SIDE, distilled, network_of, seconds
from rcig_cli.distillation.methods import METHODS
from rcig_cli.distillation.methods.rcig import RcigSettings
from rcig_cli.distillation.platform import Platform
from rcig_cli.distillation.records import training_set
from rcig_cli.distillation.step import Step
from rcig_cli.distillation.task import Task
from rcig_cli.presets.config import resolve
from rcig_cli.runs.engine.base import Engine, RunState
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.engine import make_engine
from rcig_cli.runs.engine.flops import count
from rcig_cli.runs.engine.mesh import current_platform
from rcig_cli.runs.engine.programs import Programs
from rcig_cli.runs.engine.randomness import draw, step_keys
from rcig_cli.runs.engine.training import Schedule, TrainingSet, make_training
from tests.oracles.plain_step import PlainConvNet, make_plain_update, plain_apply

WIDTH, BATCH, MATRIX, SEED = 32, 256, 4096, 0
PER_CLASS = (1, 10)


def settings_of(per_class: int) -> RcigSettings:
    """The default settings for CIFAR-10."""
    method = resolve("cifar10", (SIDE, SIDE, 3), CLASSES, {"ipc": per_class}).method
    assert isinstance(method, RcigSettings)
    return method


def make_run(per_class: int) -> tuple[Engine, RunState]:
    """An engine on random images, and the state before the first step."""
    random, settings = np.random.default_rng(0), settings_of(per_class)
    real = random.normal(size=(10 * BATCH, SIDE, SIDE, 3)).astype(np.float32)
    network, make = network_of(WIDTH), METHODS["rcig"].make
    data = RealData(real, np.arange(len(real), dtype=np.int32) % CLASSES)

    def step_on(platform: Platform) -> Step:
        return make(Task(network, platform), settings)

    engine = make_engine(step_on, data, batch=BATCH, seed=SEED)
    return engine, engine.start(distilled(jnp.asarray(real[: per_class * CLASSES])))


@cache
def _product() -> Callable[[], float]:
    matrix = jax.block_until_ready(jax.random.normal(jax.random.key(1), (MATRIX, MATRIX)))
    product = jax.jit(jnp.matmul)
    seconds(product, matrix, matrix)  # compile
    return lambda: 2 * MATRIX**3 / seconds(product, matrix, matrix)


def product_rate() -> float:
    """Operations per second of a product of two large matrices."""
    return _product()()


def whole_step(per_class: int, steps: int = 24) -> dict[str, float]:
    """Time steps of a run, each until its result is there; operations are those of the same steps."""
    engine, state = make_run(per_class)
    step = METHODS["rcig"].make(Task(network_of(WIDTH), Platform()), settings_of(per_class))
    psi, key = state.learner.psi, jax.random.key(0)
    real = jnp.zeros((BATCH, SIDE, SIDE, 3)), jnp.zeros(BATCH, int)
    of_update = count(step.update, step.start(psi), network_of(WIDTH).init(key), *real, key)
    of_training = count(step.train, step.fresh(key), psi, key)
    draws_of = step_keys(SEED, 1)[0]
    draws = [draw(draws_of, jnp.uint32(n), step.pool_size, step.training_steps) for n in range(1 + steps)]
    trained = [int(each.training_steps) for each in draws[1:]]
    state, fetch = engine.advance(state, 0, 1)
    fetch(), product_rate()  # compile
    times, rates = [], []
    for number in range(1, 1 + steps):
        start = time.perf_counter()
        state, fetch = engine.advance(state, number, 1)
        fetch(), jax.block_until_ready(state)
        times.append(time.perf_counter() - start)
        if number % 4 == 1:
            rates.append(product_rate())
    rate = np.median(rates)
    # Time per step and per training step, by least squares.
    each = np.stack([np.ones(steps), np.array(trained)], 1)
    update, training = np.linalg.lstsq(each, np.array(times), rcond=None)[0]
    work = steps * of_update + sum(trained) * of_training
    return _rounded(
        seconds=np.mean(times),
        seconds_without_training=update,
        seconds_of_a_training_step=training,
        gflop=work / steps / 1e9,
        product_gflop_per_second=rate / 1e9,
        share=work / sum(times) / rate,
        share_without_training=of_update / update / rate,
        share_of_training=of_training / training / rate,
    )


def evaluation(per_class: int, steps: int = 40, rounds: int = 5) -> dict[str, float]:
    """Time a training step of an evaluation."""
    network = network_of(WIDTH)
    psi = distilled(jax.random.normal(jax.random.key(0), (per_class * CLASSES, SIDE, SIDE, 3)))
    images, labels = training_set(psi.stored["images"], psi.labels, flip=True)
    train, key = make_training(network, Schedule(steps, warmup=0)), jax.random.key(1)

    def run() -> Any:
        return list(train(key, TrainingSet(images, labels)))

    seconds(run)  # compile
    times = [(seconds(run) / steps, product_rate()) for _ in range(rounds)]
    took, rate = np.median(times, axis=0)
    step = METHODS["rcig"].make(Task(network, Platform()), settings_of(per_class))
    work = count(step.train, step.fresh(key), psi, key)
    return _rounded(seconds=took, gflop=work / 1e9, share=work / took / rate)


def over_oracle() -> dict[str, float]:
    """Time the update of the paper's solver in the package and in a plain implementation, in turn."""
    settings = RcigSettings(solver="adam", inner_steps=20, hessian_steps=20)
    network, random = network_of(WIDTH), jax.random.split(jax.random.key(0), 3)
    step = METHODS["rcig"].make(Task(network, current_platform()), settings)
    real = jax.random.normal(random[0], (BATCH, SIDE, SIDE, 3)), jnp.arange(BATCH) % CLASSES
    psi, theta_0 = distilled(jax.random.normal(random[1], (CLASSES, SIDE, SIDE, 3))), network.init(random[2])
    plain = jax.jit(make_plain_update(plain_apply(PlainConvNet(DEPTH, WIDTH)), settings))
    ours, arguments = Programs(step.update), (step.start(psi), theta_0, *real)
    slow = psi, jnp.array([1e-4, 1e-4]), theta_0, *real
    seconds(plain, *slow), seconds(ours, *arguments)  # compile
    turns = [(seconds(plain, *slow), *(seconds(ours, *arguments) for _ in range(4))) for _ in range(3)]
    oracle = float(np.median([turn[0] for turn in turns]))
    update = float(np.median([turn[1:] for turn in turns]))
    return _rounded(seconds=update, oracle_seconds=oracle, ratio=oracle / update)


def first_step(per_class: int) -> None:
    """Take the first step of a run in this process, and print how long it took."""
    began = time.perf_counter()
    engine, state = make_run(per_class)
    engine.compile(state)
    state, fetch = engine.advance(state, 0, 1)
    fetch(), jax.block_until_ready(state)
    print(json.dumps({"seconds": time.perf_counter() - began}))


def first_steps(per_class: int) -> dict[str, float]:
    """Seconds of the first step with an empty and with a filled compilation cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RCIG_COMPILATION_CACHE"] = folder
        cold, warm = (measuring.in_own_process(__file__, {"first_step": per_class}) for _ in range(2))
    return _rounded(empty_cache=cold["seconds"], filled_cache=warm["seconds"])


def _rounded(**figures: float) -> dict[str, float]:
    return {name: float(f"{value:.4g}") for name, value in figures.items()}


def main() -> None:
    """Print a line for each case, and all as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    case = parser.parse_args().case
    if case is not None:
        first_step(case["first_step"])
        return
    found: dict[str, Any] = {}
    cases: dict[str, Callable[[int], dict[str, float]]] = {
        "whole_step": whole_step,
        "evaluation": evaluation,
        "first_step": first_steps,
    }
    for name, measure in cases.items():
        for per_class in PER_CLASS:
            found[f"{name}, {per_class} per class"] = figures = measure(per_class)
            print(f"{name}, {per_class} per class: {figures}", flush=True)
    found["over_oracle"] = over_oracle()
    print(f"over_oracle: {found['over_oracle']}")
    shares = {f"share, {n} per class": found[f"whole_step, {n} per class"]["share"] for n in PER_CLASS}
    print(json.dumps({**shares, "machine": measuring.machine(), "all": found}))


if __name__ == "__main__":
    main()
