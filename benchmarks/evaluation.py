"""The time of training five networks in an evaluation, divided by that of five single trainings.

    python benchmarks/evaluation.py [--width 128] [--images 100] [--steps 200]

A ConvNet on 32 px RGB images, with mirror images, as ``rcig evaluate`` trains it: all at once on an
accelerator, one after the other on a CPU.  Times are medians of three, taken in turn, without compilation.
The last line is JSON; ``mark`` is the target for the ratio, 0.6 on an accelerator and 1.05 on a CPU.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import SIDE, distilled, machine, network_of, seconds  # isort: skip

import jax
import numpy as np

from rcig_cli.distillation.records import training_set
from rcig_cli.runs.engine.training import Schedule, TrainingSet, make_training, make_trainings

NETWORKS, ROUNDS = 5, 3


def trainings(width: int, images: int, steps: int) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return two functions of keys: one trains five networks as an evaluation does, the other trains one."""
    network = network_of(width)
    schedule = Schedule(steps, warmup=steps // 4)
    psi = distilled(jax.random.normal(jax.random.key(0), (images, SIDE, SIDE, 3)))
    own = TrainingSet(*training_set(psi.stored["images"], psi.labels, flip=True))
    one, five = make_training(network, schedule), make_trainings(network, schedule, lambda _: None)
    return lambda keys: list(five(keys, own)), lambda keys: [list(one(key, own)) for key in keys]


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    five, single = trainings(given.width, given.images, given.steps)
    keys = jax.random.split(jax.random.key(1), NETWORKS)
    seconds(five, keys), seconds(single, keys[:1])  # compile
    times = []
    for _ in range(ROUNDS):
        alone = sum(seconds(single, keys[k : k + 1]) for k in range(NETWORKS))
        times.append((seconds(five, keys), alone))
    at_once, one_by_one = (float(np.median(column)) for column in zip(*times, strict=True))
    on_cpu = jax.default_backend() == "cpu"
    found = {
        "device": jax.devices()[0].device_kind,
        "seconds_of_five": at_once,
        "seconds_of_five_single_ones": one_by_one,
        "ratio": float(np.median([a / b for a, b in times])),
        "mark": 1.05 if on_cpu else 0.6,
    }
    print(f"Five networks: {at_once:.3g} s, five single ones: {one_by_one:.3g} s.")
    print(json.dumps({**vars(given), **found, "machine": machine()}))


if __name__ == "__main__":
    main()
