"""Seconds per outer step and peak memory for CIFAR-10 at full width, on whatever device JAX finds.

    python benchmarks/full_width.py [--solver cg|adam] [--steps 3]

Width 128, batch 1024, 1 and 10 images per class; images are random, since time does not depend on them.
Each case runs in a process of its own, so that its peak is its own.  The last line is JSON.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def measure(ipc: int, solver: str, steps: int) -> dict[str, Any]:
    """Time ``steps`` whole outer steps, pool training included, after two that compile."""
    from rcig_cli.jobs import device

    device.prepare_environment()
    device.prepare_jax()
    import jax
    import jax.numpy as jnp
    import numpy as np

    from rcig_cli.distillation.records import Distilled, centred_one_hot
    from rcig_cli.jobs.batches import RealData
    from rcig_cli.jobs.engine import make_engine
    from rcig_cli.jobs.prepared import network_for
    from rcig_cli.presets.preset import resolve

    config = resolve("cifar10", (32, 32, 3), 10, {"ipc": ipc, "solver": solver})
    network = network_for(config, (32, 32, 3), 10, config.activation)
    random = np.random.default_rng(0)
    real = RealData(
        random.normal(size=(2048, 32, 32, 3)).astype(np.float32), np.arange(2048, dtype=np.int32) % 10
    )
    engine = make_engine(network, config.algorithm, real, batch=config.batch, seed=0)
    classes = jnp.arange(10 * ipc) % 10
    state = engine.start(
        Distilled(jnp.asarray(real.images[: 10 * ipc]), centred_one_hot(classes, 10), jnp.zeros(()))
    )
    times = []
    for number in range(steps + 2):
        start = time.perf_counter()
        state, fetch = engine.advance(state, number, 1)
        jax.block_until_ready((state, fetch()))
        times.append(time.perf_counter() - start)
    stats = jax.devices()[0].memory_stats() or {}
    return {
        "device": jax.devices()[0].device_kind,
        "ipc": ipc,
        "solver": solver,
        "seconds_per_step": float(np.median(times[2:])),
        "first_step_with_compilation": times[0],
        "peak_host_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "peak_device_gb": stats.get("peak_bytes_in_use", 0) / 1e9,
    }


def main() -> None:
    """Measure each case in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--solver", default="cg")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--ipc", type=int)
    given = parser.parse_args()
    if given.ipc:
        print(json.dumps(measure(given.ipc, given.solver, given.steps)))
        return
    found = []
    for ipc in (1, 10):
        command = [
            sys.executable,
            __file__,
            "--ipc",
            str(ipc),
            "--solver",
            given.solver,
            "--steps",
            str(given.steps),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(found[-1])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
