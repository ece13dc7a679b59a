"""Error of the meta-gradient against the number of conjugate gradient iterations of each solve.

    python benchmarks/solve_error.py cifar10 examples/cifar10_ipc10.npz --store STORE

The distilled set is that of an npz file, or of random real images with ``--real N``.  A network of
``--width`` is trained on it for ``--age`` steps, and the meta-gradient in the images is computed on 256 real
images with equally many iterations in both solves.  The error is the norm of its difference from that of
40 + 40 iterations, in percent of the norm of the latter.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import short, table  # isort: skip

import jax
import jax.numpy as jnp
import numpy as np

from rcig_cli.distillation.records import Distilled, centred_one_hot
from rcig_cli.distillation.step import Proposal, Step
from rcig_cli.presets.config import resolve
from rcig_cli.runs.distill.run_loop import task_for
from rcig_cli.runs.engine.mesh import current_platform
from rcig_cli.runs.engine.programs import Programs
from rcig_cli.runs.prepare.prepared import open_prepared
from rcig_cli.store.store import open_store

ITERATIONS, EXACT = (1, 2, 3, 4, 6, 10, 20), 40
REAL, POOL_LR = 256, 6e-4


def main() -> None:
    """Print the error, and the accuracy on the real images, for each number of iterations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dataset")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--real", type=int, help="instead of a file: this many real images of each class")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--age", type=int, default=40)
    given = parser.parse_args()
    if (given.file is None) == (given.real is None):
        parser.error("give a file or --real N")
    prepared = open_prepared(open_store(given.store, create=False), given.dataset)
    classes, stored, random = prepared.labels("train"), prepared.stored("train"), np.random.default_rng(0)
    if given.file:
        with np.load(given.file) as arrays:
            images, labels = jnp.asarray(arrays["images"]), jnp.asarray(arrays["labels"])
    else:
        of_each = [np.flatnonzero(classes == one) for one in range(prepared.classes)]
        chosen = np.sort(np.concatenate([random.choice(rows, given.real, replace=False) for rows in of_each]))
        images, labels = jnp.asarray(stored[chosen]), centred_one_hot(classes[chosen], prepared.classes)
    psi = Distilled({"images": images}, labels, jnp.zeros(()))
    settings = {"ipc": len(images) // prepared.classes, "width": given.width, "pool_lr": POOL_LR}
    config = resolve(given.dataset, prepared.shape, prepared.classes, settings)
    task = task_for(config, prepared, current_platform())

    def step_of(iterations: int) -> Step:
        method = replace(config.method, inner_steps=iterations, hessian_steps=iterations)
        return config.algorithm_record.make(task, method)

    first = step_of(1)
    model, train = first.fresh(jax.random.key(1)), Programs(first.train)
    for _ in range(given.age):
        model = train(model, psi)
    rows = np.sort(random.choice(len(classes), REAL, replace=False))
    real = jnp.asarray(stored[rows]), jnp.asarray(classes[rows])

    def proposal(iterations: int) -> Proposal:
        step = step_of(iterations)
        found: Proposal = Programs(step.propose)(step.start(psi), model.parameters, *real)
        return found

    exact, lines = proposal(EXACT), []
    gradient = exact.gradient.stored["images"]
    for iterations in ITERATIONS:
        found = proposal(iterations)
        error = jnp.linalg.norm(jnp.ravel(found.gradient.stored["images"] - gradient))
        percent = 100 * float(error / jnp.linalg.norm(jnp.ravel(gradient)))
        accuracy = 100 * float(found.metrics["accuracy"])
        lines.append([f"{iterations} + {iterations}", short(percent), f"{accuracy:.1f}"])
        print(*lines[-1], flush=True, file=sys.stderr)
    lines.append([f"{EXACT} + {EXACT}", "–", f"{100 * float(exact.metrics['accuracy']):.1f}"])
    print(table(["iterations", "error in %", "batch accuracy in %"], lines))


if __name__ == "__main__":
    main()
