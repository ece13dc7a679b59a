"""Which plots a sweep makes sense for, and their panels.

accuracy.png       test accuracy against iterations of a solve, or outer steps   (paper, Figure 2)
milliseconds.png   time of an outer step against iterations                      (paper, Figure 1)
seconds.png        test accuracy against the time of a whole run
course.png         accuracy on real batches while distilling, against outer steps and against time
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.runs.distill.distill import METRICS
from rcig_cli.runs.sweep.sweep import describe
from rcig_cli.runs.sweep.sweep_table import Row, Table
from rcig_cli.store.digests import digests
from rcig_cli.store.documents import write_document
from rcig_cli.store.files import make_folder, write_bytes_atomically
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.records import now, write_manifest
from rcig_cli.store.store import TABLE, Store

FIGURES = "figures"

_ACCURACY = "test accuracy (%)"
_COUNTED = {
    "inner_steps": "iterations of the inner solve",
    "hessian_steps": "iterations of the Hessian-inverse solve",
    "steps": "outer steps",
}
_MOST_SERIES = 12  # that a legend is still read of
_MOST_COURSES = 8
_STRETCHES = 25  # of a course, each drawn as one point of its line

Value = Callable[[Row], float | None]


def panels_of(table: Table, store: Store) -> dict[str, list[Panel]]:
    """Return what to draw, by the file's name without its ending.

    Parameters
    ----------
    table
        What the sweep found.
    store
        Where its runs are, with what they said on their way.
    """
    drawn = {
        "accuracy": _against_counts(table, _accuracy, _deviation, _ACCURACY),
        "milliseconds": _against_counts(table, lambda row: row.milliseconds, None, "ms per outer step"),
        "seconds": _against_seconds(table),
        "course": _courses(table, store),
    }
    return {name: panels for name, panels in drawn.items() if panels}


def _accuracy(row: Row) -> float | None:
    return 100 * row.accuracy.mean if row.accuracy else None


def _deviation(row: Row) -> float:
    return 100 * row.accuracy.std if row.accuracy else 0.0


def _groups(table: Table, axis: str) -> Iterator[tuple[dict[str, Any], list[Row]]]:
    """The rows that differ in this axis alone, two or more, with what else distinguishes them."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    others = [name for name in table.axes if name != axis]
    for row in table.rows:
        groups.setdefault(tuple(row.settings[name] for name in others), []).append(row)
    for key, rows in groups.items():
        if len(rows) > 1:
            yield dict(zip(others, key, strict=True)), rows


def _series(label: str, rows: Sequence[Row], x: Value, y: Value, error: Value | None) -> Series | None:
    """The points of the rows that have both numbers; None if none has."""
    places, heights, errors = [], [], []
    for row in rows:
        place, height = x(row), y(row)
        if place is not None and height is not None:
            places.append(place)
            heights.append(height)
            errors.append((error(row) if error else None) or 0.0)
    return Series(label, places, heights, errors if error else ()) if places else None


def _against_counts(table: Table, y: Value, error: Value | None, y_label: str) -> list[Panel]:
    panels = []
    for axis, x_label in _COUNTED.items():
        if axis not in table.axes or (axis == "steps" and error is None):
            continue

        def place(row: Row, axis: str = axis) -> float:
            return float(row.settings[axis])

        found = [_series(describe(by) or axis, rows, place, y, error) for by, rows in _groups(table, axis)]
        series = [one for one in found if one is not None]
        if series and len(series) <= _MOST_SERIES:
            panels.append(
                Panel(x_label, y_label, series, *_level(table))
                if error
                else Panel(x_label, y_label, series, from_zero=True)
            )
    return panels


def _level(table: Table) -> tuple[float, str] | tuple[()]:
    if len(table.baselines) != 1:
        return ()
    return 100 * table.baselines[0].accuracy.mean, "random images"


def _against_seconds(table: Table) -> list[Panel]:
    """Rows that differ in a count alone are joined; the others are points of their own."""
    found: list[Series | None] = []
    covered: set[int] = set()
    for axis in (axis for axis in _COUNTED if axis in table.axes):
        for by, rows in _groups(table, axis):
            if not {id(row) for row in rows} <= covered:
                covered |= {id(row) for row in rows}
                label = f"{axis} {_range(rows, axis)}" + (f", {describe(by)}" if by else "")
                found.append(_series(label, rows, lambda row: row.seconds, _accuracy, _deviation))
    for row in table.rows:
        if id(row) not in covered:
            label = describe(row.settings) or "distilled"
            found.append(_series(label, [row], lambda row: row.seconds, _accuracy, _deviation))
    series = [one for one in found if one is not None]
    if not 0 < len(series) <= _MOST_SERIES or len(table.rows) < 2:
        return []
    return [Panel("seconds to distil, compilation excluded", _ACCURACY, series, *_level(table))]


def _range(rows: Sequence[Row], axis: str) -> str:
    values = [row.settings[axis] for row in rows]
    return f"{min(values)} to {max(values)}"


def _courses(table: Table, store: Store) -> list[Panel]:
    if len(table.rows) > _MOST_COURSES:
        return []
    by_steps, by_seconds = [], []
    for row in table.rows:
        steps, accuracies = _course(row, store)
        if not steps:
            continue
        label = describe(row.settings) or "distilled"
        by_steps.append(Series(label, steps, accuracies))
        if row.milliseconds is not None:
            seconds = [step * row.milliseconds / 1000 for step in steps]
            by_seconds.append(Series(label, seconds, accuracies))
    y_label = "accuracy on real batches (%)"
    panels = [
        Panel("outer steps", y_label, by_steps),
        Panel("seconds, compilation excluded", y_label, by_seconds),
    ]
    return [panel for panel in panels if panel.series]


def _course(row: Row, store: Store) -> tuple[list[float], list[float]]:
    """Steps, and the mean accuracy in percent over all seeds in the stretch of steps around each."""
    records = [
        (record.get("step"), record.get("accuracy"))
        for outcome in row.outcomes
        for record in MetricsLog(store.run_path(outcome.run.name) / METRICS).read()
    ]
    known = [(step, accuracy) for step, accuracy in records if step is not None and accuracy is not None]
    if not known:
        return [], []
    steps, accuracies = np.array(known, float).T
    stretch = np.minimum((steps - 1) * _STRETCHES // row.steps, _STRETCHES - 1)
    places, heights = [], []
    for each in np.unique(stretch):
        here = stretch == each
        places.append(float(steps[here].mean()))
        heights.append(100 * float(accuracies[here].mean()))
    return places, heights


def publish(store: Store, name: str, table: Table) -> tuple[Path, ...]:
    """Write a sweep's table and its plots into its folder, and mark it finished; the caller holds its lock.

    Returns
    -------
    tuple
        The plots, as PNG files.
    """
    folder = store.sweep_path(name)
    make_folder(folder / FIGURES)
    write_document(folder / TABLE, table.to_json())
    manifest = store.sweep(name)
    paths = []
    for kind, panels in panels_of(table, store).items():
        paths.append(folder / FIGURES / f"{kind}.png")
        write_bytes_atomically(paths[-1], draw_panels(panels, f"{name}: {manifest.dataset}"))
    files = {TABLE: digests(folder, TABLE)[TABLE]}
    for path in paths:
        files |= digests(folder, f"{FIGURES}/{path.name}")
    write_manifest(folder, replace(manifest, status="finished", updated=now(), files=files))
    return tuple(paths)
