"""Time and memory with gradients through a subset: ``make bench-subset``, or ``python benchmarks/subset.py``.

As in the paper's Figure S2, it measures memory and seconds of an outer step against ``backward_subset`` N,
for 500 distilled images of 32 px, RGB, width 16, 128 real images, Adam 3 + 3, and once with conjugate
gradients; and at N = 50 against the number of distilled images, on which memory should hardly depend.

``temporary``   bytes that the compiled program needs besides its arguments and results
``peak RSS``    peak memory of the process, and its part before the first step: Python, JAX and the loaded
                program, which on a CPU grows as N falls, since its loops are unrolled

Each case is first compiled in one process, two cases at a time, since compiling takes more memory than the
step.  It is then measured in another process, which loads it from the compilation cache, one case at a time.
Most of the time is compilation, which takes minutes on an idle machine unless the programs are cached.  Draws
``docs/pictures/subset.png``; the last line is JSON.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import (  # isort: skip
    ROOT,
    in_own_process,
    machine,
    peak_host_megabytes,
    problem,
    seconds,
    short,
    table,
)

import jax
import numpy as np

from rcig_cli.distillation.methods.rcig import RcigSettings
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.engine.mesh import current_platform, settled

PICTURE = ROOT / "docs" / "pictures" / "subset.png"
IMAGES, SUBSETS = 500, (25, 50, 100, 200, 350, 500)
OTHERS, FIXED = (250, 1000), 50  # numbers of images, and N for them
WITH_CG = 100  # N
BATCH, WIDTH = 128, 16

_COMPILERS = 2

Found = dict[str, Any]


def cases(iterations: int) -> list[Found]:
    """The cases that are measured."""
    sizes = [(IMAGES, subset, "adam") for subset in SUBSETS]
    sizes += [(images, FIXED, "adam") for images in OTHERS]
    sizes += [(IMAGES, WITH_CG, "cg")]
    names = ("images", "subset", "solver")
    return [dict(zip(names, size, strict=True)) | {"iterations": iterations} for size in sizes]


def measure(case: Found) -> Found:
    """Compile one case, and time it if it has ``rounds``; called in a separate process."""
    iterations = case["iterations"]
    algorithm = RcigSettings(
        solver=case["solver"],
        inner_steps=iterations,
        hessian_steps=iterations,
        backward_subset=case["subset"],
        flip=False,
    )
    as_one_program = replace(current_platform(), repeated=settled)
    step, arguments = problem(case["images"], BATCH, WIDTH, algorithm, platform=as_one_program)
    update = jax.jit(step.update).lower(*arguments).compile()
    analysis: Any = update.memory_analysis()
    found = case | {
        "temporary_megabytes": analysis.temp_size_in_bytes / 1e6,
        "megabytes_before": peak_host_megabytes(),
    }
    if case.get("rounds"):
        times = [seconds(update, *arguments) for _ in range(case["rounds"] + 1)][1:]
        found |= {"seconds": float(np.median(times)), "peak_megabytes": peak_host_megabytes()}
    return found


def panels(found: Sequence[Found]) -> list[Panel]:
    """The panels of memory and time against N; the points of Adam are joined."""
    adam = [one for one in found if one["solver"] == "adam" and one["images"] == IMAGES]
    other = [one for one in found if one["images"] != IMAGES]
    cg = [one for one in found if one["solver"] == "cg"]

    def series(label: str, rows: Sequence[Found], value: str) -> Series:
        return Series(label, [one["subset"] for one in rows], [one[value] for one in rows])

    def panel(label: str, value: str) -> Panel:
        of_others = [series(f"Adam, |S| = {one['images']}", [one], value) for one in other]
        drawn = [
            series(f"Adam, |S| = {IMAGES}", adam, value),
            *of_others,
            series(f"conjugate gradients, |S| = {IMAGES}", cg, value),
        ]
        return Panel("images that gradients go through, N", label, drawn, from_zero=True)

    return [panel("temporary memory (MB)", "temporary_megabytes"), panel("seconds per outer step", "seconds")]


def report(found: Sequence[Found]) -> str:
    """The results as a table."""
    rows = []
    for one in found:
        values = [short(one[name]) for name in ("temporary_megabytes", "peak_megabytes", "megabytes_before")]
        cells = one["images"], one["subset"], one["solver"], *values, short(one["seconds"])
        rows.append(cells)
    head = ["images", "N", "solver", "temporary, MB", "peak RSS, MB", "of it before a step", "seconds"]
    return table(head, rows)


def main() -> None:
    """Compile every case, then measure one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--iterations", type=int, default=3, help="of each of the two solves")
    parser.add_argument("--rounds", type=int, default=5, help="steps that are timed")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(measure(given.case)))
        return
    if os.environ.get("RCIG_COMPILATION_CACHE") == "":
        parser.error("RCIG_COMPILATION_CACHE is empty: without a cache the peaks would be the compiler's.")
    before = machine()
    with ThreadPoolExecutor(min(_COMPILERS, processors())) as compilers:
        # The largest programs first, so that both processes are busy until the end.
        ordered = sorted(cases(given.iterations), key=lambda case: case["subset"] / case["images"])
        list(compilers.map(lambda case: in_own_process(__file__, case), ordered))
    timed = [case | {"rounds": given.rounds} for case in cases(given.iterations)]
    found = [in_own_process(__file__, case) for case in timed]
    print(report(found))
    title = f"Gradients through N of |S| images (Adam {given.iterations} + {given.iterations})"
    given.picture.write_bytes(draw_panels(panels(found), title))
    print(json.dumps({"machine": before, "load_after": machine()["load"], "cases": found}))


if __name__ == "__main__":
    main()
