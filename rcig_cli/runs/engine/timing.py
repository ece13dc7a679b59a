"""How long a run's steps take: measured as they are reported, kept with the run.

The time of a step is the median over the stretches between two reports, so that compilation, which comes
before the first, and a checkpoint now and then don't count.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rcig_cli.runs.engine.environment import processors
from rcig_cli.runs.report import Report
from rcig_cli.store.results import read_results, write_result


@dataclass(frozen=True)
class Timing:
    """What is known of a run's time.

    Attributes
    ----------
    milliseconds
        Of an outer step, compilation excluded.
    seconds
        That the run has taken in all, compilation included.
    """

    milliseconds: float
    seconds: float


class Stopwatch:
    """A report that passes everything on, and takes the time of the steps it hears of.

    Parameters
    ----------
    report
        Where everything goes.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        self.began = time.monotonic()
        self._last: tuple[int, float] | None = None
        self._rates: list[float] = []  # seconds per step, of each stretch
        self._shown: float | None = None
        self.steps = 0  # on the clock

    def note(self, sentence: str) -> None:
        """Pass it on."""
        self.report.note(sentence)

    def warn(self, sentence: str) -> None:
        """Pass it on."""
        self.report.warn(sentence)

    def progress(self, label: str, done: int, total: int, values: Mapping[str, float] | None = None) -> None:
        """Take the time since the last report, and pass this one on."""
        now = time.monotonic()
        if self._last is not None and done > self._last[0]:
            self._rates.append((now - self._last[1]) / (done - self._last[0]))
            self.steps += done - self._last[0]
        self._shown = (values or {}).get("steps/s", self._shown)
        self.report.progress(label, done, total, values)
        self._last = done, time.monotonic()

    @property
    def milliseconds(self) -> float | None:
        """Of a step; None if fewer than two were taken."""
        if self._rates:
            return 1000 * float(np.median(self._rates))
        return 1000 / self._shown if self._shown else None  # a run too short to be reported twice

    def keep(self, run_path: Path) -> None:
        """Write what was measured into a run's folder, if anything was."""
        if self.milliseconds is not None:
            record = {
                "steps": max(self.steps, 1),
                "milliseconds_per_step": self.milliseconds,
                "seconds": time.monotonic() - self.began,
                "device": jax.default_backend(),
                "processors": processors(),
            }
            write_result(run_path, "timings", "distill", record)


def timing_of(run_path: Path) -> Timing | None:
    """What was measured of a run, in however many pieces it was distilled; None if nothing was."""
    weights, times, seconds = [], [], 0.0
    for record in read_results(run_path, "timings").found:
        numbers = [record.get(name) for name in ("steps", "milliseconds_per_step", "seconds")]
        if all(_is_number(number) for number in numbers):
            weights.append(numbers[0])
            times.append(numbers[1])
            seconds += float(numbers[2] or 0)
    if not times:
        return None
    return Timing(float(np.average(times, weights=weights)), seconds)  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
