"""Milliseconds per outer step and peak memory for CIFAR-10 at full width, on JAX's default device.

    python benchmarks/full_width.py [--solver cg|adam] [--calls 3]

Width 128, batch 1024, 1 and 10 images per class; images are random, since time does not depend on them.
Each case runs in a separate process, so that its peak memory is measured separately.  The last line is JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import (  # isort: skip
    CLASSES,
    SIDE,
    distilled,
    in_own_process,
    network_of,
    peak_host_megabytes,
    problem,
    short,
)

import jax
import jax.numpy as jnp
import numpy as np

from rcig_cli.distillation.task import Task
from rcig_cli.presets.config import DistillConfig, resolve
from rcig_cli.runs.engine.base import Engine, RunState
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.engine.engine import make_engine
from rcig_cli.runs.engine.flops import count
from rcig_cli.runs.engine.programs import Programs


def per_call(function: Callable[[Any], Any], value: Any, calls: int) -> float:
    """Seconds per call, where each result is the argument of the next; only the last is waited for."""
    value = jax.block_until_ready(function(value))
    start = time.perf_counter()
    for _ in range(calls):
        value = function(value)
    jax.block_until_ready(value)
    return (time.perf_counter() - start) / calls


def measure_step(config: DistillConfig, calls: int) -> dict[str, Any]:
    """Time a run's loop and then the bare step; in this order the peak memory is that of the run."""
    images = CLASSES * config.ipc
    random = np.random.default_rng(0)
    shown = random.standard_normal((4096, SIDE, SIDE, 3), dtype=np.float32)
    real = RealData(shown, np.arange(len(shown), dtype=np.int32) % CLASSES)
    network = network_of(config.width, config.depth)
    engine = make_engine(
        lambda platform: config.algorithm_record.make(Task(network, platform), config.method),
        real,
        batch=config.batch,
        seed=0,
    )
    state = engine.start(distilled(jnp.asarray(shown[:images])))
    start = time.perf_counter()
    needed = engine.compile(state)
    compiling = time.perf_counter() - start
    in_loop = loop_seconds(engine, state, calls)
    of_device = (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    peak = of_device or peak_host_megabytes() * 1e6
    step, (learner, *others) = problem(images, config.batch, config.width, config.method, config.depth)
    update = Programs(step.update)
    return {
        "steps_in_a_call": engine.most,
        "seconds_to_compile": compiling,
        "seconds_in_loop": in_loop,
        "seconds_bare": per_call(lambda before: update(before, *others)[0], learner, calls),
        "flop": count(step.update, learner, *others),
        "bytes_needed": needed,
        "bytes_peak": peak,
        "peak_is_of": "device" if of_device else "process",
    }


def loop_seconds(engine: Engine, state: RunState, calls: int) -> float:
    """Seconds per step of a run, which computes one call while it fetches the metrics of the previous one."""
    state, fetch = engine.advance(state, 0, engine.most)
    fetch()
    start = time.perf_counter()
    for call in range(1, calls + 1):
        state, coming = engine.advance(state, call * engine.most, engine.most)
        fetch()
        fetch = coming
    fetch()
    return (time.perf_counter() - start) / (calls * engine.most)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Measure one case; called in a separate process."""
    settings = {"ipc": case["ipc"], "solver": case["solver"]}
    config = resolve("cifar10", (SIDE, SIDE, 3), CLASSES, settings)
    return case | {"device": jax.devices()[0].device_kind} | measure_step(config, case["calls"])


def main() -> None:
    """Measure each case in a separate process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--solver", default="cg")
    parser.add_argument("--calls", type=int, default=3, help="of the step and of the loop, each timed")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(given.case)))
        return
    found = []
    for ipc in (1, 10):
        case = {"ipc": ipc, "solver": given.solver, "calls": given.calls}
        one = in_own_process(__file__, case)
        found.append(one)
        ms, memory = short(1000 * one["seconds_in_loop"]), short(one["bytes_peak"] / 1e9)
        print(
            f"{ipc} per class, {given.solver}: {ms} ms per step of a run, {memory} GB ({one['peak_is_of']})"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
