"""The plots of a sweep, as far as its settings allow them.

accuracy.png       test accuracy against a swept whole number, such as inner_steps   (paper, Figure 2)
milliseconds.png   time of an outer step against it                                  (paper, Figure 1)
seconds.png        test accuracy against the time of a whole run
course.png         accuracy on real batches during distillation, against outer steps and against time

With several data sets or protocols there are panels for each.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rcig_cli.reporting.figures.plots import Panel, Series, draw_panels
from rcig_cli.reporting.formatting import describe_images
from rcig_cli.runs.sweep.plan import swept_settings
from rcig_cli.runs.sweep.table import Row, Table, describe_settings
from rcig_cli.settings import Setting
from rcig_cli.store.digests import digests
from rcig_cli.store.documents import write_document
from rcig_cli.store.files import make_folder, write_bytes_atomically
from rcig_cli.store.metrics import METRICS, MetricsLog
from rcig_cli.store.records import now, write_manifest
from rcig_cli.store.store import TABLE, Store

FIGURES = "figures"

_ACCURACY = "test accuracy (%), mean ± std"
_MOST_SERIES = 12  # with which a legend is readable
_MOST_COURSES = 8
_MOST_PANELS = 8  # beside each other
_STRETCHES = 25  # points of a line in course.png, each a mean over a stretch of steps

Point = tuple[float, float | None] | None  # a value and its standard deviation; None if unknown


def write_results(store: Store, name: str, table: Table, *, complete: bool) -> tuple[Path, ...]:
    """Write the table and the plots of a sweep into its folder.

    The caller holds the sweep's lock.  If the table is ``complete``, the sweep is marked finished.

    Returns
    -------
    tuple
        The plots, as PNG files.
    """
    folder = store.group_path("sweep", name)
    make_folder(folder / FIGURES)
    write_document(folder / TABLE, table.to_json())
    manifest = store.group("sweep", name)
    paths = []
    for kind, panels in panels_of(table, store).items():
        path = folder / FIGURES / f"{kind}.png"
        if 0 < len(panels) <= _MOST_PANELS:
            write_bytes_atomically(path, draw_panels(panels, f"{name}: {_described(table)}"))
            paths.append(path)
        else:
            path.unlink(missing_ok=True)  # drawn when runs were left out of the table
    files = digests(folder, TABLE)
    for path in paths:
        files |= digests(folder, f"{FIGURES}/{path.name}")
    status: Literal["finished", "interrupted"] = "finished" if complete else "interrupted"
    write_manifest(folder, replace(manifest, status=status, updated=now(), files=files))
    return tuple(paths)


def panels_of(table: Table, store: Store) -> dict[str, list[Panel]]:
    """Return the panels of each plot, if there are any, by the name of its file without ".png"."""
    declared = swept_settings(*(row.config.algorithm for row in table.rows))
    counts = {
        name: _label(declared[name])
        for name in table.axes
        if declared[name].type is int
        and not any(isinstance(row.settings[name], list) for row in table.rows)  # one number for each class
    }
    drawn: dict[str, list[Panel]] = {name: [] for name in ("accuracy", "milliseconds", "seconds", "course")}
    datasets = list(dict.fromkeys(row.config.dataset for row in table.rows))
    for label in table.labels:
        for dataset in datasets:
            part = _part(table, label, dataset)
            of_data = [dataset] if len(datasets) > 1 else []
            of = [*of_data, label] if len(table.labels) > 1 else of_data
            drawn["accuracy"] += _titled(of, _accuracies(part, counts))
            drawn["seconds"] += _titled(of, _against_seconds(part, counts))
            if label == table.labels[0]:  # these don't depend on the protocol
                drawn["milliseconds"] += _titled(of_data, _times(part, counts))
                drawn["course"] += _titled(of_data, _courses(part, store))
    return drawn


def _described(table: Table) -> str:
    """Name the data sets, and the images per class if they are the same in all rows."""
    datasets = ", ".join(dict.fromkeys(row.config.dataset for row in table.rows))
    images = {describe_images(row.config.to_json()) for row in table.rows}
    return f"{images.pop()} of {datasets}" if len(images) == 1 else datasets


def _part(table: Table, label: str, dataset: str) -> Table:
    """Return the results for a data set by a protocol."""
    axes = tuple(name for name in table.axes if name != "dataset")
    rows = [row for row in table.rows if (row.label, row.config.dataset) == (label, dataset)]
    baselines = [each for each in table.baselines if (each.label, each.dataset) == (label, dataset)]
    own = (replace(row, settings={name: row.settings[name] for name in axes}) for row in rows)
    return Table(axes, tuple(own), tuple(baselines))


def _titled(of: Sequence[str], panels: Sequence[Panel]) -> list[Panel]:
    return [replace(panel, title=", ".join(of)) for panel in panels]


def _accuracies(table: Table, counts: Mapping[str, str]) -> list[Panel]:
    return [
        Panel(label, _ACCURACY, lines, *_baseline(table))
        for axis, label in counts.items()
        if (lines := _lines(table, axis, _accuracy))
    ]


def _times(table: Table, counts: Mapping[str, str]) -> list[Panel]:
    return [
        Panel(label, "ms per outer step", lines, from_zero=True)
        for axis, label in counts.items()
        if axis != "steps" and (lines := _lines(table, axis, _milliseconds))
    ]


def _accuracy(row: Row) -> Point:
    return (100 * row.accuracy.mean, 100 * row.accuracy.std) if row.accuracy else None


def _milliseconds(row: Row) -> Point:
    return None if row.milliseconds is None else (row.milliseconds, None)


def _groups(table: Table, axis: str) -> Iterator[tuple[str, list[Row]]]:
    """Yield groups of two or more rows that differ in one axis only, with their other settings as text."""
    groups: dict[str, list[Row]] = {}
    for row in table.rows:
        others = {name: value for name, value in row.settings.items() if name != axis}
        if row.settings[axis] is not None:
            groups.setdefault(describe_settings(others), []).append(row)
    yield from ((others, rows) for others, rows in groups.items() if len(rows) > 1)


def _series(
    label: str, rows: Sequence[Row], x: Callable[[Row], float | None], y: Callable[[Row], Point]
) -> list[Series]:
    """Return one series of the rows for which both values are known, or none."""
    known = [(a, *b) for row in rows if (a := x(row)) is not None and (b := y(row)) is not None]
    if not known:
        return []
    places, heights, errors = (list(column) for column in zip(*known, strict=True))
    return [Series(label, places, heights, [error for error in errors if error is not None])]


def _lines(table: Table, axis: str, y: Callable[[Row], Point]) -> list[Series]:
    """Return a line for each group of rows that differ in one axis only; none if that are too many."""
    lines = [
        line
        for label, rows in _groups(table, axis)
        for line in _series(label or axis, rows, lambda row: float(row.settings[axis]), y)
    ]
    return lines if len(lines) <= _MOST_SERIES else []


def _label(setting: Setting) -> str:
    """Return the beginning of a setting's help: ``"iterations of the inner solve, inner_steps"``."""
    text = re.split("[.,;:]", setting.help)[0]
    return f"{text[:1].lower()}{text[1:]}, {setting.name}"


def _baseline(table: Table) -> tuple[float, str] | tuple[()]:
    if len(table.baselines) != 1:
        return ()
    return 100 * table.baselines[0].accuracy.mean, "random images"


def _against_seconds(table: Table, counts: Iterable[str]) -> list[Panel]:
    """Rows that differ in a whole number only are joined by a line; the others are single points.

    Runs that all end in the same time are left out.
    """
    if any(row.minutes for row in table.rows) and "minutes" not in table.axes:
        return []
    series: list[Series] = []
    covered: set[int] = set()

    def add(label: str, rows: Sequence[Row]) -> None:
        series.extend(_series(label, rows, lambda row: row.seconds, _accuracy))

    for axis in counts:
        for others, rows in _groups(table, axis):
            if not {id(row) for row in rows} <= covered:
                covered |= {id(row) for row in rows}
                values = [row.settings[axis] for row in rows]
                label = f"{axis} {min(values)} to {max(values)}"
                add(f"{label}, {others}" if others else label, rows)
    for row in table.rows:
        if id(row) not in covered:
            add(describe_settings(row.settings) or "distilled", [row])
    if not 0 < len(series) <= _MOST_SERIES or len(table.rows) < 2:
        return []
    return [Panel("seconds to distil, compilation excluded", _ACCURACY, series, *_baseline(table))]


def _courses(table: Table, store: Store) -> list[Panel]:
    if len(table.rows) > _MOST_COURSES:
        return []
    by_steps, by_seconds = [], []
    for row in table.rows:
        steps, accuracies = _course(row, store)
        if not steps:
            continue
        label = describe_settings(row.settings) or "distilled"
        by_steps.append(Series(label, steps, accuracies))
        if row.milliseconds is not None:
            seconds = [step * row.milliseconds / 1000 for step in steps]
            by_seconds.append(Series(label, seconds, accuracies))
    drawn = ("outer steps", by_steps), ("seconds, compilation excluded", by_seconds)
    return [Panel(x_label, "accuracy on real batches (%)", series) for x_label, series in drawn if series]


def _course(row: Row, store: Store) -> tuple[list[float], list[float]]:
    """Return the mean step and the mean accuracy in percent, over all seeds, in each stretch of steps."""
    records: list[dict[str, Any]] = [
        record
        for outcome in row.outcomes
        for record in MetricsLog(store.run_path(outcome.run.name) / METRICS).read()
        if record.get("step") is not None and record.get("accuracy") is not None
    ]
    if not records:
        return [], []
    steps, accuracies = np.array([(each["step"], each["accuracy"]) for each in records], float).T
    stretch = np.minimum((steps - 1) * _STRETCHES // row.config.steps, _STRETCHES - 1)
    chosen = [stretch == each for each in np.unique(stretch)]
    return [float(steps[c].mean()) for c in chosen], [100 * float(accuracies[c].mean()) for c in chosen]
