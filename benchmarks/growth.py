"""How the time of an outer step grows: ``make bench-growth``, or ``python benchmarks/growth.py``.

Measures the seconds of the compiled ``step.update`` (32 px RGB, 4 + 4 conjugate gradients, no mirror images)
against the number of distilled images |S|, the real batch, and the network's width, while the other two are
fixed.  It also prints the counted floating-point operations (runs/engine/flops.py) and the values of a
straight line through the times: a line in |S|, in the batch and, for the width, in the operations, which grow
with its square.

Times are medians.  All cases are compiled first and then timed in turn, so that other load of the machine
affects all of them equally.  Draws ``docs/pictures/growth.png``; the last line is JSON.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.measuring import ROOT, machine, problem, seconds, short, straight_line, table  # isort: skip

import jax
import numpy as np

from rcig_cli.distillation.methods.rcig import RcigSettings
from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.runs.engine.flops import count
from rcig_cli.runs.engine.programs import Programs

ALGORITHM = RcigSettings(solver="cg", inner_steps=4, hessian_steps=4, flip=False)
PICTURE = ROOT / "docs" / "pictures" / "growth.png"

_LINE_POINTS = 41  # of a drawn line: so many that the plot draws no markers


class Case(NamedTuple):
    """The sizes of a step."""

    images: int = 10
    batch: int = 256
    width: int = 32


class Measured(NamedTuple):
    """Time and operations of a step."""

    seconds: float
    flop: int


class Growth(NamedTuple):
    """One of the three series of measurements.

    Attributes
    ----------
    name
        The size that varies.
    held
        The sizes that are fixed.
    cases
        The cases.
    size
        ``case -> number``: the value on the x axis.
    linear_in
        ``(case, measured) -> number``: the quantity in which the time should be linear.
    """

    name: str
    held: str
    cases: Sequence[Case]
    size: Callable[[Case], int]
    linear_in: Callable[[Case, Measured], float]


GROWTHS = (
    Growth(
        "images",
        "width 32, batch 256",
        [Case(images=n) for n in (10, 25, 50, 100, 200)],
        lambda case: case.images,
        lambda case, _: case.images,
    ),
    Growth(
        "batch",
        "10 images, width 32",
        [Case(batch=b) for b in (64, 128, 256, 512, 1024)],
        lambda case: case.batch,
        lambda case, _: case.batch,
    ),
    Growth(
        "width",
        "10 images, batch 256",
        [Case(width=w) for w in (8, 16, 32, 64)],
        lambda case: case.width,
        lambda _, measured: measured.flop,
    ),
)


def measure(cases: Sequence[Case], rounds: int) -> dict[Case, Measured]:
    """Compile a step for each case, then time them in turn."""
    ready: dict[Case, tuple[Any, tuple[Any, ...]]] = {}
    work: dict[Case, int] = {}
    for case in cases:
        step, arguments = problem(*case, ALGORITHM)
        update = Programs(step.update)
        jax.block_until_ready(update(*arguments))
        ready[case], work[case] = (update, arguments), count(step.update, *arguments)
        print(f"compiled: {case}", file=sys.stderr)
    times = {case: [0.0] * rounds for case in cases}
    for number in range(rounds):
        for case, (update, arguments) in ready.items():
            times[case][number] = seconds(update, *arguments)
    return {case: Measured(float(np.median(times[case])), work[case]) for case in cases}


def line_through(growth: Growth, found: dict[Case, Measured]) -> list[float]:
    """The seconds that the straight line gives at each case."""
    x = [growth.linear_in(case, found[case]) for case in growth.cases]
    intercept, slope = straight_line(x, [found[case].seconds for case in growth.cases])
    return [intercept + slope * each for each in x]


def panel(growth: Growth, found: dict[Case, Measured]) -> Panel:
    """The panel with the times and their line, which is a curve against the width."""
    sizes = [growth.size(case) for case in growth.cases]
    fine = np.linspace(sizes[0], sizes[-1], _LINE_POINTS)
    if growth.name == "width":
        # The line is linear in the operations; between the widths these are interpolated by a square.
        flops = [found[case].flop for case in growth.cases]
        x, label = np.polyval(np.polyfit(sizes, flops, 2), fine), "straight line in the operations"
    else:
        x, label = fine, "straight line"
    at = [growth.linear_in(case, found[case]) for case in growth.cases]
    intercept, slope = straight_line(at, [found[case].seconds for case in growth.cases])
    return Panel(
        {"images": "distilled images |S|", "batch": "real batch", "width": "width"}[growth.name],
        f"seconds per step ({growth.held})",
        [
            Series("measured", sizes, [found[case].seconds for case in growth.cases], joined=False),
            Series(label, list(fine), list(intercept + slope * x)),
        ],
        from_zero=True,
    )


def report(growth: Growth, found: dict[Case, Measured]) -> dict[str, Any]:
    """Print one series as a table; return it."""
    rows, lines = [], line_through(growth, found)
    misses = [found[case].seconds / line - 1 for case, line in zip(growth.cases, lines, strict=True)]
    for case, line, miss in zip(growth.cases, lines, misses, strict=True):
        took, flop = found[case]
        cells = [growth.size(case), short(took), short(line), f"{100 * miss:+.0f} %"]
        rows.append([*cells, short(flop / 1e9), short(flop / 1e9 / took)])
    head = [growth.name, "seconds", "straight line", "off it", "GFLOP", "GFLOP per second"]
    print(f"\n{growth.name} ({growth.held})\n\n{table(head, rows)}")
    return {
        "held": growth.held,
        "rows": [dict(zip(("size", *Measured._fields), (row[0], *found[case]), strict=True))
                 for row, case in zip(rows, growth.cases, strict=True)],
        "line": lines,
        "largest_deviation": max(map(abs, misses)),
    }  # fmt: skip


def main() -> None:
    """Measure, print three tables, draw three panels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="times each case is timed")
    parser.add_argument("--picture", type=Path, default=PICTURE)
    given = parser.parse_args()
    cases = list(dict.fromkeys(case for growth in GROWTHS for case in growth.cases))
    before = machine()
    found = measure(cases, given.rounds)
    courses = {growth.name: report(growth, found) for growth in GROWTHS}
    panels = [panel(growth, found) for growth in GROWTHS]
    given.picture.write_bytes(draw_panels(panels, "How the time of an outer step grows"))
    print(json.dumps({"machine": before, "load_after": machine()["load"], "growth": courses}))


if __name__ == "__main__":
    main()
