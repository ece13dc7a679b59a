"""Seconds of distillation until networks trained on the distilled set reach given accuracies.

    python benchmarks/accuracy.py --data FOLDER --out OUT [--dataset cifar10 mnist] [--minutes 10] ...

FOLDER holds ``cifar10.npz`` and so on, each with x_train, y_train, x_test and y_test; or it is a store in
which the data sets are prepared.  Each case (a data set, settings named in `SETTINGS`, a seed) runs in a
separate process: a few steps are measured, and a run of as many steps as fit into ``--minutes`` is distilled.
After geometrically growing numbers of steps a few networks are trained on the average of the images and
labels, which is what a run of that many steps would store, and tested on all test images.

The clock runs while steps are taken, checkpoints included, and stops during evaluation.  The time to an
accuracy is interpolated between two evaluations, and given without and with the compilation that a first run
needs (the start of the run, its first step and, for Adam, the tuning of learning rates).

OUT gets one file for each case, written after each evaluation, and after each case ``accuracy.json``,
``accuracy.md`` and ``accuracy.png`` of all finished cases.  The same command continues an interrupted
benchmark: finished cases are not run again, and an unfinished one starts anew.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import environment, machine, short, table  # isort: skip

import jax
import numpy as np
import numpy.typing as npt

from benchmarks import long_run
from rcig_cli.data.sources.listener import Silent
from rcig_cli.distillation.parametrizations import PARAMETRIZATIONS
from rcig_cli.distillation.records import Distilled, training_set
from rcig_cli.presets.config import DistillConfig
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill.distill import METRICS, create_run
from rcig_cli.runs.distill.run_loop import RunContext, RunLoop
from rcig_cli.runs.engine.training import TrainingSet
from rcig_cli.runs.evaluate.measurement import make_measurement
from rcig_cli.runs.evaluate.protocol import evaluation_protocol
from rcig_cli.runs.prepare.prepared import Prepared, open_prepared
from rcig_cli.runs.signals import stop_on_signals
from rcig_cli.store.files import write_bytes_atomically
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.store import open_store

# Settings besides --ipc, --width, --batch and --seed; those that are not named have their defaults, which
# depend on the number of steps.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "paper": {
        "solver": "adam",
        "inner_steps": 20,
        "hessian_steps": 20,
        "image_lr": 3e-3,
        "label_lr": 3e-3,
        "schedule": "constant",
        "average_decay": 0.99,
        "start": "random",
        "pool_lr": 5e-5,
        "pool_steps": 15,
        "pool_max_steps": 100,
    },
    "frepo": {"algorithm": "frepo"},
    "rfad": {"algorithm": "rfad"},
    **{name: {"parametrization": name} for name in PARAMETRIZATIONS if name != "raw"},
}

# Accuracies in percent.
MARKS = {"cifar10": (30, 35, 40, 45), "mnist": (70, 80, 90), "fashion_mnist": (60, 65, 70, 75)}
OTHER_MARKS = (50, 60, 70, 80, 90)

# The duration of a run is planned by the second group of these steps; the first compile all programs.
_NOT_MEASURED, _MEASURED = 5, 15
_GRID = 30  # points of a line in the plot


@dataclass(frozen=True)
class Course:
    """Test accuracy in the course of one run; the first entry is the set that the run starts from.

    Attributes
    ----------
    compilation
        Seconds until the first step is done.
    steps, seconds
        Outer steps, and seconds of distillation after the first step, before each evaluation; increasing.
    accuracies
        Of each network, as fractions, at each evaluation.
    """

    compilation: float
    steps: Sequence[int]
    seconds: Sequence[float]
    accuracies: Sequence[Sequence[float]]

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Self:
        """Read the course from the file of a case."""
        return cls(*(result[name] for name in ("compilation", "steps", "seconds", "accuracies")))

    @property
    def means(self) -> npt.NDArray[np.float64]:
        """Mean over the networks at each evaluation."""
        return np.array([np.mean(each) for each in self.accuracies])

    def seconds_to(self, accuracy: float) -> float:
        """Seconds of distillation until the mean first reaches an accuracy; infinity if it doesn't."""
        means = self.means
        reached = np.flatnonzero(means >= accuracy)
        if not len(reached):
            return np.inf
        at = int(reached[0])
        if at == 0:
            return 0.0
        share = (accuracy - means[at - 1]) / (means[at] - means[at - 1])
        return float(self.seconds[at - 1] + share * (self.seconds[at] - self.seconds[at - 1]))


def stops(steps: int, count: int) -> list[int]:
    """Return at most ``count`` numbers of outer steps, growing geometrically from 2 or more to ``steps``."""
    first = max(2, steps // 100)
    return sorted({round(float(step)) for step in np.geomspace(min(first, steps), steps, count)})


@contextmanager
def started(prepared: Prepared, config: DistillConfig) -> Iterator[RunLoop]:
    """Start a run in a temporary store."""
    with tempfile.TemporaryDirectory(prefix="rcig-accuracy-") as folder:
        store = open_store(Path(folder), create=True)
        run, lock = create_run(store, prepared, config)
        path = store.run_path(run.name)
        with lock, stop_on_signals() as stop, MetricsLog(path / METRICS) as metrics:
            yield RunLoop(path, run, prepared, RunContext(Quiet()), stop, metrics)


def begin(loop: RunLoop) -> float:
    """Compile a run's step and take the first one; return the seconds that this takes."""
    start = time.perf_counter()
    loop.restore_or_start()
    take(loop, 1)
    return time.perf_counter() - start


def take(loop: RunLoop, until: int) -> float:
    """Take outer steps up to number ``until``; return the seconds until they are computed and saved."""
    start = time.perf_counter()
    loop.config = loop.config.override({"steps": until})
    loop.take_steps()
    jax.block_until_ready(loop.state)
    return time.perf_counter() - start


def run_case(case: Mapping[str, Any], publish: Callable[[Mapping[str, Any]], None]) -> None:
    """Distil and evaluate one case; publish all that is known after each evaluation."""
    prepared = open_prepared(open_store(Path(case["store"]), create=False), case["dataset"])
    settings = {**SETTINGS[case["settings"]], **case["given"], "dataset": case["dataset"]}
    planned, cold = settings.get("steps"), None
    if planned is None:
        planned, cold = planned_steps(prepared, settings, 60 * case["minutes"])
    config = resolved(prepared, {**settings, "steps": planned})
    with started(prepared, config) as loop:
        protocol = evaluation_protocol(config, len(loop.initial_psi.labels), **case["protocol"])
        measure = make_measurement(prepared, protocol, Quiet())

        def accuracies(psi: Distilled) -> list[float]:
            images = loop.decoder.decode(psi.stored)
            shown = TrainingSet(*training_set(images, psi.labels, flip=protocol.flip))
            return list(measure(0, shown, "").values)

        result = {"case": case, "machine": machine(), "config": config.to_json(), "complete": False}
        spent, steps, seconds = 0.0, [0], [0.0]
        found = [accuracies(loop.initial_psi)]
        warm = begin(loop)
        compilation = warm if cold is None else cold  # of the first run in this process
        for stop in stops(planned, case["evaluations"]):
            spent += take(loop, stop)
            assert loop.state is not None
            steps.append(stop)
            seconds.append(spent)
            found.append(accuracies(loop.engine.product(loop.state)))
            print(f"  step {stop}, {short(spent)} s: {100 * np.mean(found[-1]):.1f} %", file=sys.stderr)
            result |= vars(Course(compilation, steps, seconds, found))
            publish(result | {"complete": stop == planned})


def planned_steps(prepared: Prepared, settings: Mapping[str, Any], seconds: float) -> tuple[int, float]:
    """Return as many steps as fit into some seconds without compilation, and the seconds of compilation."""
    with started(prepared, resolved(prepared, settings)) as loop:
        compilation = begin(loop)
        take(loop, _NOT_MEASURED)
        each = take(loop, _NOT_MEASURED + _MEASURED) / _MEASURED
    return max(2, round(seconds / each)), compilation


class Quiet(Silent):
    """A report that prints warnings only."""

    def warn(self, sentence: str) -> None:
        """Print a warning."""
        print(sentence, file=sys.stderr)

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Ignore it."""


def store_with(data: Path, datasets: Sequence[str], out: Path) -> Path:
    """Return the store with the prepared data sets: ``data``, or one in ``out`` made from the files in it."""
    if (data / "store.json").exists():
        return data
    for dataset in datasets:
        if not long_run.is_prepared(out / "store", dataset):
            print(f"Preparing {dataset} ...", file=sys.stderr)
            file = (data / f"{dataset}.npz").absolute()
            long_run.answer(out / "store", "prepare", dataset, "--from", str(file))
    return out / "store"


def cases(given: argparse.Namespace, store: Path) -> list[dict[str, Any]]:
    """Return all cases, seed by seed."""
    protocol = {"networks": given.networks, "steps": given.training_steps}
    return [
        {
            "store": str(store),
            "dataset": dataset,
            "settings": settings,
            "given": {
                "ipc": given.ipc,
                "width": given.width,
                "batch": given.batch,
                "seed": seed,
                **({"steps": given.steps} if given.steps else {}),
            },
            "minutes": given.minutes,
            "evaluations": given.evaluations,
            "protocol": protocol,
        }
        for seed in range(given.seeds)
        for dataset in given.dataset
        for settings in given.settings
    ]


def file_of(case: Mapping[str, Any]) -> str:
    """Return the name of a case's file."""
    size = "_".join(f"{name}{value}" for name, value in case["given"].items())
    return f"{case['dataset']}_{case['settings']}_{size}_{case['minutes']:g}min.json"


def measured(case: Mapping[str, Any], out: Path) -> dict[str, Any] | None:
    """Return the result of a case, which is run in a separate process unless it is finished.

    Without a compilation cache, so that compilation takes as long as in a first run.
    """
    path = out / file_of(case)
    if not (path.exists() and json.loads(path.read_text())["complete"]):
        print(f"{case['dataset']}, {case['settings']}, seed {case['given']['seed']}:", file=sys.stderr)
        command = [sys.executable, __file__, "--case", json.dumps(case), "--out", str(out)]
        child = {**environment(), "RCIG_COMPILATION_CACHE": ""}
        if subprocess.run(command, env=child, check=False).returncode:
            return None
    result: dict[str, Any] = json.loads(path.read_text())
    return result


Results = Sequence[Mapping[str, Any]]


def by_settings(results: Results, dataset: str) -> dict[str, list[Course]]:
    """Return the courses of each named settings on a data set, one for each seed."""
    found: dict[str, list[Course]] = {}
    for one in results:
        if one["case"]["dataset"] == dataset:
            found.setdefault(one["case"]["settings"], []).append(Course.of(one))
    return found


def marks_table(courses: Mapping[str, Sequence[Course]], marks: Sequence[int]) -> str:
    """Return a Markdown table: medians over the seeds of the seconds without and with compilation."""
    rows = []
    for settings, each in courses.items():
        times = []
        for mark in marks:
            without = np.median([course.seconds_to(mark / 100) for course in each])
            including = np.median([course.seconds_to(mark / 100) + course.compilation for course in each])
            reached = np.isfinite(without)
            times.append(f"{short(float(without))} / {short(float(including))}" if reached else "–")
        last = [100 * course.means[-1] for course in each]
        pace = np.median([1000 * course.seconds[-1] / max(1, course.steps[-1] - 1) for course in each])
        accuracy = f"{np.mean(last):.1f} ({', '.join(f'{value:.1f}' for value in last)})"
        within = f"{short(float(np.median([course.seconds[-1] for course in each])))} s"
        compilation = short(float(np.median([course.compilation for course in each])))
        rows.append([settings, *times, accuracy, within, short(float(pace)), compilation])
    head = ["settings", *(f"s to {mark} %" for mark in marks), "accuracy at the end (each seed)", "end"]
    return table([*head, "ms per step", "s of compilation"], rows)


def panel(courses: Mapping[str, Sequence[Course]], dataset: str) -> Panel:
    """Return the plot of accuracy against seconds; over several seeds the mean, with its deviation."""
    series = []
    for settings, each in courses.items():
        first = max(course.seconds[1] for course in each)
        last = min(course.seconds[-1] for course in each)
        grid = np.geomspace(first, last, _GRID) if len(each) > 1 else np.asarray(each[0].seconds[1:])
        values = np.array([np.interp(grid, course.seconds, 100 * course.means) for course in each])
        error = values.std(axis=0) if len(each) > 1 else np.array([])
        series.append(Series(settings, grid.tolist(), values.mean(axis=0).tolist(), error.tolist()))
    return Panel("seconds of distillation", f"test accuracy (%), {dataset}", series, logarithmic=True)


def write_summary(results: Results, out: Path) -> str:
    """Write all finished cases as JSON, Markdown and a plot; return the Markdown."""
    datasets = list(dict.fromkeys(one["case"]["dataset"] for one in results))
    sections, panels = [], []
    for dataset in datasets:
        courses, example = (
            by_settings(results, dataset),
            next(one["case"] for one in results if one["case"]["dataset"] == dataset),
        )
        given, seeds = example["given"], max(map(len, courses.values()))
        sections.append(
            f"## {dataset}, {given['ipc']} per class\n\nWidth {given['width']}, batch {given['batch']}, "
            f"networks per evaluation: {example['protocol']['networks']}, seeds: {seeds}. "
            "Seconds of distillation / with compilation."
        )
        sections.append(marks_table(courses, MARKS.get(dataset, OTHER_MARKS)))
        panels.append(panel(courses, dataset))
    written = "\n\n".join(sections) + "\n"
    write_bytes_atomically(out / "accuracy.json", json.dumps(list(results), indent=1).encode())
    write_bytes_atomically(out / "accuracy.md", written.encode())
    write_bytes_atomically(out / "accuracy.png", draw_panels(panels, "Accuracy of the distilled set"))
    return written


def main() -> None:
    """Run all cases that are not finished, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("RCIG_REAL_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dataset", nargs="+", default=["cifar10", "mnist"])
    parser.add_argument("--settings", nargs="+", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--ipc", type=int, default=1)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--minutes", type=float, default=10, help="of distillation in each case")
    parser.add_argument("--steps", type=int, help="of each run; by default as many as fit into --minutes")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--evaluations", type=int, default=10, help="in the course of each run")
    parser.add_argument("--networks", type=int, default=2, help="trained for each evaluation")
    parser.add_argument("--training-steps", type=int, help="of each network; by default the paper's")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.case:
        path = given.out / file_of(given.case)
        run_case(given.case, lambda result: write_bytes_atomically(path, json.dumps(result).encode()))
        return
    if given.data is None or not Path(given.data).is_dir():
        parser.error("--data or RCIG_REAL_DATA must name a folder with cifar10.npz and so on, or a store.")
    store = store_with(Path(given.data), given.dataset, given.out)
    results, failed = [], False
    for case in cases(given, store):
        result = measured(case, given.out)
        failed |= result is None
        if result is not None:
            results.append(result)
            write_summary(results, given.out)
    print((given.out / "accuracy.md").read_text() if results else "Nothing was measured.")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
