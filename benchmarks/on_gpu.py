"""All GPU measurements of CIFAR-10 at full width: speed, memory, and the paper's longest run.

    python benchmarks/on_gpu.py --data cifar10.npz --out FOLDER [--minutes 9]

Run the same command again until it reports that everything is done: each call takes about ``--minutes``
minutes, and finished measurements are not repeated.  ``--data`` is an .npz with x_train,
y_train, x_test and y_test, or a store in which cifar10 is prepared.  FOLDER gets ``on_gpu.json``,
``on_gpu.md`` (tables for docs/appendix/results-speed.md), the messages of the runs and, if --data is a file,
the store.

1. The rates that a product of two 8192 x 8192 matrices reaches in TF32 and in float32.
2. Width 128, batch 1024, 1 and 10 images per class, both solvers, random images, each in a separate
   process: milliseconds per outer step of a run (the engine's loop, pool training included) and of the bare
   step (``step.update``); the counted floating-point operations of the bare step (runs/engine/flops.py) per
   second as a share of both rates; peak memory of the run's loop.
3. 15 000 steps at 1 image per class with conjugate gradients, then with the paper's Adam, each evaluated and
   compared with the paper's figure.

It needs no network connection.  ``--small`` runs everything at a tiny size, also on a CPU, as a test.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import CLASSES, SIDE, in_own_process, machine, short, table  # isort: skip

import jax
import jax.numpy as jnp

from benchmarks import long_run
from benchmarks.full_width import measure_step, per_call
from rcig_cli.presets.config import resolve
from rcig_cli.store.files import write_bytes_atomically

Found = dict[str, Any]

_TO_STOP = 45.0  # seconds before the end at which a long run is asked to save and stop
_SHORTEST = 60.0  # seconds that must be left to begin another measurement
_PRECISIONS = {"tf32": "tensorfloat32", "float32": "highest"}


class Scale(NamedTuple):
    """The sizes of all measurements.

    Attributes
    ----------
    settings, flags
        Settings of the runs, except images per class, solver and steps; and the corresponding flags.
    cells
        Images per class and solver of each step that is measured.
    solvers
        Solvers of the long runs.
    matrix
        Rows of the matrices whose product is timed.
    calls
        Number of timed calls, after one call that compiles.
    steps, save_every
        Outer steps of a long run, and between two of its checkpoints.
    evaluation
        Flags for ``rcig evaluate``.
    """

    settings: Mapping[str, Any]
    flags: Sequence[str]
    cells: Sequence[tuple[int, str]]
    solvers: Sequence[str]
    matrix: int
    calls: int
    steps: int
    save_every: int
    evaluation: Sequence[str]


FULL = Scale(
    {}, (), ((1, "cg"), (10, "cg"), (1, "adam"), (10, "adam")), ("cg", "adam"), 8192, 10, 15_000, 2500, ()
)
SMALL = Scale(
    {"width": 4, "depth": 1, "batch": 32, "pool_size": 3, "inner_steps": 1, "hessian_steps": 1},
    ("--width=4", "--depth=1", "--batch=32", "--pool-size=3", "--inner-steps=1", "--hessian-steps=1"),
    ((2, "cg"),),
    ("adam",),
    128,
    2,
    6,
    4,
    ("--networks=1", "--steps=5"),
)


class OutOfTime(Exception):
    """The time is up; the rest is left for the next call."""


class Work:
    """The results so far, which are kept in a file, the time that is left, and whether a measurement failed.

    Parameters
    ----------
    folder
        The folder of the file.
    minutes
        Time after which this call should end.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._path = folder, folder / "on_gpu.json"
        self.failed = False
        self._end = time.monotonic() + 60 * minutes
        self.found: Found = json.loads(self._path.read_text()) if self._path.exists() else {}

    def left(self, spare: float = 0) -> float:
        """Seconds that are left, less a reserve.

        Raises
        ------
        OutOfTime
            If there is too little time to begin a measurement.
        """
        left = self._end - spare - time.monotonic()
        if left < _SHORTEST:
            raise OutOfTime
        return left

    def keep(self, name: str, value: Any) -> None:
        """Save the result of a part."""
        self.found[name] = value
        write_bytes_atomically(self._path, json.dumps(self.found, indent=1).encode())

    def once(self, name: str, part: Callable[[float], Found]) -> None:
        """Do a part within the time that is left, unless it has been done.

        Raises
        ------
        OutOfTime
            If it wasn't finished in time; the next call begins it again.
        """
        if name in self.found:
            return
        seconds = self.left()
        print(f"{name} ...", file=sys.stderr)
        try:
            self.keep(name, part(seconds))
        except subprocess.TimeoutExpired:
            raise OutOfTime from None

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Print the error of a failed case and continue with the others."""
        try:
            yield
        except RuntimeError as error:
            self.failed = True
            print(error, file=sys.stderr)


def measure_rates(size: int, calls: int) -> Found:
    """Operations per second of the product of two square matrices, at both precisions."""
    # Scaled so that repeated products neither grow nor vanish.
    matrix = jax.random.normal(jax.random.key(0), (size, size)) / size**0.5
    found: Found = {"device": jax.devices()[0].device_kind, "size": size}
    for name, precision in _PRECISIONS.items():
        product = jax.jit(jnp.matmul)
        with jax.default_matmul_precision(precision):
            took = per_call(lambda left: product(left, matrix), matrix, calls)  # noqa: B023
        found[name] = 2 * size**3 / took
    return found


def measure(case: Found) -> Found:
    """Measure one part; called in a separate process."""
    scale = SMALL if case["small"] else FULL
    if case["part"] == "rates":
        return measure_rates(scale.matrix, scale.calls)
    cell = {**scale.settings, "ipc": case["ipc"], "solver": case["solver"]}
    return measure_step(resolve("cifar10", (SIDE, SIDE, 3), CLASSES, cell), scale.calls)


def speeds(work: Work, scale: Scale, *, small: bool) -> None:
    """Parts 1 and 2."""

    def part(case: Found) -> Callable[[float], Found]:
        return lambda seconds: in_own_process(__file__, case | {"small": small}, seconds)

    work.once("rates", part({"part": "rates"}))
    for ipc, solver in scale.cells:
        with work.going_on():
            work.once(f"step {ipc} {solver}", part({"part": "step", "ipc": ipc, "solver": solver}))


def store_of(work: Work, data: Path) -> Path:
    """The store with the prepared data set; prepare it, if it isn't."""
    store = data if data.is_dir() else work.folder / "store"
    if not long_run.is_prepared(store):
        if data.is_dir():
            raise SystemExit(f"{data} is not a store in which {long_run.DATASET} is prepared.")
        long_run.answer(
            store, "prepare", long_run.DATASET, "--from", str(data.absolute()), seconds=work.left()
        )
    return store


def run_and_evaluate(work: Work, scale: Scale, store: Path, solver: str) -> None:
    """Part 3, for one solver: resume its run, and evaluate it once it is finished."""
    name = f"run {solver}"
    known: Found = work.found.get(name, {"sittings": []})
    settings = {**scale.settings, "ipc": 1, "solver": solver, "steps": scale.steps}
    flags = [*scale.flags, "--ipc=1", f"--solver={solver}", f"--steps={scale.steps}"]
    flags.append(f"--checkpoint-every={scale.save_every}")
    run = long_run.find(store, settings)
    if run is None or run.status != "finished":
        seconds = work.left(_TO_STOP)
        print(f"{name} ...", file=sys.stderr)
        log = work.folder / f"distill_{solver}.log"
        sitting = long_run.sit(store, settings, flags, seconds, log)
        if sitting is not None:
            known["sittings"].append(sitting._asdict())
        run = long_run.find(store, settings)
        known |= {"steps": scale.steps, "step": run.step if run else 0}
        work.keep(name, known)
    if run is None or run.status != "finished":
        raise OutOfTime
    found = run.name
    work.once(f"evaluation {solver}", lambda seconds: evaluated(store, found, scale, seconds))


def evaluated(store: Path, run: str, scale: Scale, seconds: float) -> Found:
    """Return what ``rcig evaluate`` reports about a run."""
    found = long_run.answer(store, "evaluate", run, *scale.evaluation, seconds=seconds)
    evaluation: Found = found["evaluations"][0]
    return evaluation


def speed_table(found: Found, scale: Scale) -> str:
    """Part 2 as Markdown."""
    rows, rates = [], found["rates"]
    for ipc, solver in scale.cells:
        one = found.get(f"step {ipc} {solver}")
        if one is None:
            continue
        speed = one["flop"] / one["seconds_bare"]
        times = [short(1000 * one[name]) for name in ("seconds_in_loop", "seconds_bare")]
        shares = [f"{speed / rates[name]:.2f}" for name in _PRECISIONS]
        memory = f"{short(one['bytes_peak'] / 1e9)} GB ({one['peak_is_of']})"
        rows.append([ipc, solver, *times, short(one["flop"] / 1e9), short(speed / 1e12), *shares, memory])
    head = ["images per class", "solver", "ms per step of a run", "ms, the bare step", "GFLOP of it"]
    head += ["TFLOP per second", "share of TF32 product", "share of float32 product", "peak memory"]
    return table(head, rows)


def run_table(found: Found, scale: Scale) -> str:
    """Part 3 as Markdown."""
    rows = []
    for solver in scale.solvers:
        run = found.get(f"run {solver}")
        if run is None:
            continue
        spent = sum(one["seconds"] for one in run["sittings"])
        steps = sum(one["after"] - one["before"] for one in run["sittings"])
        evaluation = found.get(f"evaluation {solver}", {})
        cells = [percent(evaluation.get(name)) for name in ("accuracy", "random_subset", "paper")]
        pace = short(1000 * spent / steps) if steps else "–"
        rows.append([solver, f"{run['step']} of {run['steps']}", f"{spent / 60:.0f} min", pace, *cells])
    head = ["solver", "steps", "time in all", "ms per step, all included", "distilled", "random", "paper"]
    return table(head, rows)


def percent(accuracy: Found | None) -> str:
    """Mean and deviation, or a dash."""
    return f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['std']:.1f} %" if accuracy else "–"


def page(found: Found, scale: Scale, *, small: bool) -> str:
    """All results so far as Markdown for docs/appendix/results-speed.md."""
    rates = found.get("rates")
    if rates is None:
        return ""
    products = " and ".join(
        f"{short(rates[name] / 1e12)} TFLOP per second in {said}"
        for name, said in (("tf32", "TF32"), ("float32", "float32"))
    )
    sections = [
        f"### {rates['device']}",
        f"JAX {found['machine']['jax']}, {found['machine']['day']}. A product of two matrices of "
        f"{rates['size']} rows reaches {products}.",
        *(["A test at a tiny size: these figures mean nothing."] if small else []),
        speed_table(found, scale),
        run_table(found, scale),
        "    python benchmarks/on_gpu.py --data cifar10.npz --out FOLDER",
    ]
    return "\n\n".join(sections) + "\n"


def work_through(work: Work, scale: Scale, data: Path, *, small: bool) -> bool:
    """Measure as much as the time allows; return whether everything is done."""
    work.keep("machine", machine() | {"day": date.today().isoformat(), "small": small})
    try:
        speeds(work, scale, small=small)
        store = store_of(work, data)
        for solver in scale.solvers:
            with work.going_on():
                run_and_evaluate(work, scale, store, solver)
    except (OutOfTime, subprocess.TimeoutExpired):
        return False
    return not work.failed


def main() -> None:
    """Measure for some minutes, and print the results so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="cifar10.npz, or a store with cifar10")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(given.case)))
        return
    if given.data is None or given.out is None or not given.data.exists():
        parser.error("--data, a file or store that exists, and --out are needed.")
    work, scale = Work(given.out, given.minutes), SMALL if given.small else FULL
    if work.found.get("machine", {}).get("small", given.small) != given.small:
        parser.error(f"{given.out} holds figures of the other size: choose another folder.")
    complete = work_through(work, scale, given.data, small=given.small)
    work.keep("complete", complete)
    written = page(work.found, scale, small=given.small)
    write_bytes_atomically(given.out / "on_gpu.md", written.encode())
    print(written)
    print("Everything is done." if complete else "Not everything is done: run the same command again.")
    print(json.dumps(work.found))
    if work.failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
