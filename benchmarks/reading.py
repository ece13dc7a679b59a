"""Seconds of an outer step with the real images in memory or on the disk, for a prepared data set.

    python benchmarks/reading.py --store STORE --dataset cifar10 [--batch 1000] [--width 32] [--steps 10]

`rcig distill` leaves images on the disk if they would take more than half of the free memory, and reads those
of the next step in a thread while the device computes.  This measures how much of the reading that hides.
The files are in the system's cache if they were read before and memory suffices; the reading then takes the
time of decompression.  1 image per class, the default solver.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.full_width import loop_seconds  # isort: skip
from benchmarks.measuring import short, table  # isort: skip

import jax
import numpy as np

from rcig_cli.presets.config import resolve
from rcig_cli.runs.distill.run_loop import engine_for, initial_psi
from rcig_cli.runs.engine.batches import RealData
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.store import open_store


def main() -> None:
    """Measure a step with images in memory, one with images on the disk, and the reading alone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    prepared = open_prepared(open_store(given.store, create=False), given.dataset)
    settings = {"ipc": 1, "width": given.width, "batch": given.batch}
    config = resolve(given.dataset, prepared.shape, prepared.classes, settings)
    classes, stored = prepared.labels("train"), prepared.stored("train")
    decoder = config.decoder(prepared.shape, prepared.classes)
    rows = []
    for place, images in (("in memory", stored[:]), ("on the disk", stored)):
        real = RealData(images, classes)
        engine = engine_for(config, prepared, real, jax.devices()[:1])
        state = engine.start(initial_psi(real, prepared.classes, config, decoder))
        engine.compile(state)
        calls = max(1, given.steps // engine.most)
        rows.append([f"a step, images {place}", short(loop_seconds(engine, state, calls))])
    random, times = np.random.default_rng(0), []
    for _ in range(given.steps):
        start = time.perf_counter()
        stored[random.choice(len(classes), config.batch, replace=False)]
        times.append(time.perf_counter() - start)
    rows.append([f"reading {config.batch} images alone", short(statistics.median(times))])
    print(table([f"{given.dataset}, width {config.width}, batch {config.batch}", "seconds"], rows))


if __name__ == "__main__":
    main()
