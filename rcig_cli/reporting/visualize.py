"""Draw the figures of a run from its files in the store, and write them to files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.distillation.methods import Metric
from rcig_cli.errors import ConfigError, NotFound
from rcig_cli.reporting.compare import best_evaluation, differences, headline_of
from rcig_cli.reporting.figures.animation import draw_animation
from rcig_cli.reporting.figures.canvas import Heading, encode_png
from rcig_cli.reporting.figures.comparison import Side, draw_comparison
from rcig_cli.reporting.figures.curves import columns_of, draw_curves
from rcig_cli.reporting.figures.grid import draw_grid
from rcig_cli.reporting.figures.labels import draw_labels
from rcig_cli.reporting.figures.stored import StoredPictures, draw_stored
from rcig_cli.reporting.formatting import (
    accuracy,
    describe_protocol,
    describe_run,
    exact_size,
    source_of,
)
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.distill.snapshots import read_course
from rcig_cli.store.files import make_folder, write_bytes_atomically
from rcig_cli.store.metrics import METRICS, MetricsLog
from rcig_cli.store.results import read_results

# The file extension of each kind of figure.
EXTENSIONS = {
    **{"grid": ".png", "labels": ".png", "stored": ".png", "curves": ".png"},
    **{"animate": ".gif", "compare": ".png"},
}
FIGURES = "figures"  # the folder within a run's folder


def visualize(
    distilled: DistilledSet,
    kinds: Sequence[str] = ("grid",),
    *,
    other: DistilledSet | None = None,
    out: Path | None = None,
) -> list[Path]:
    """Draw figures of a run into files; none is written unless all figures could be drawn.

    Parameters
    ----------
    distilled
        The run.
    kinds
        At least one of `EXTENSIONS`.
    other
        The run to compare with, for "compare".
    out
        The file for one figure, or the folder for several; by default ``figures`` in the run's folder.

    Raises
    ------
    ConfigError
        If ``out`` is not a possible path, the two runs are not of the same data set, or what is stored is to
        be drawn of a raw set.
    NotFound
        If the run has no metrics that change, or no snapshots, and a figure needs them.
    """
    paths = _paths(distilled, kinds, other, out)
    draw = {"grid": grid, "labels": labels, "stored": stored, "curves": curves, "animate": animation}
    contents = [
        comparison(distilled, other) if other and kind == "compare" else draw[kind](distilled)
        for kind in kinds
    ]
    for path, content in zip(paths, contents, strict=True):
        make_folder(path.parent)
        write_bytes_atomically(path, content)
    return paths


def grid(distilled: DistilledSet) -> bytes:
    """Draw every distilled image with its class's name, in natural colours, as a PNG.

    Those of a parametrized set are decoded.
    """
    heading = heading_of(distilled)
    drawn = draw_grid(_pixels(distilled), distilled.classes, _class_names(distilled), heading=heading)
    return encode_png(drawn)


def heading_of(distilled: DistilledSet) -> Heading:
    """Return the heading of a run's pictures: what it is, and its test accuracy if it was evaluated."""
    title = f"{distilled.run.name}: {describe_run(distilled.run)}"
    found = read_results(distilled.path, "evaluations").found
    headline = headline_of(distilled.config, found)
    if headline is None:
        return Heading(title)
    shown = headline.evaluation
    measured = f"test accuracy {accuracy(shown['accuracy'])}"
    return Heading(title, f"{measured} ({describe_protocol(shown['protocol'])})")


def labels(distilled: DistilledSet) -> bytes:
    """Draw the learned soft labels beside their images, as a PNG."""
    names, heading = _class_names(distilled), heading_of(distilled)
    pixels = _pixels(distilled)
    return encode_png(draw_labels(pixels, distilled.labels, distilled.classes, names, heading=heading))


def stored(distilled: DistilledSet) -> bytes:
    """Draw the arrays that a parametrized set stores in the form of images, as a PNG.

    Each is scaled to its own range of values; those that belong to a class are under its name.

    Raises
    ------
    ConfigError
        If the set is raw.
    """
    name, parametrization = distilled.run.name, distilled.config.parametrization_record
    class_names = _class_names(distilled)
    if distilled.size.is_raw:
        raise ConfigError(f"{name} is a raw set: it stores its images, which --grid shows.")
    classes, parts = distilled.prepared.classes, []
    for key, arrays in distilled.stored.items():
        if arrays.ndim != 4:  # coefficients
            continue
        groups, names = np.repeat(np.arange(classes), distilled.config.images_per_class(classes)), class_names
        if key in parametrization.shared:
            groups, names = np.arange(len(arrays)), [str(number) for number in range(len(arrays))]
        title = f"The stored {key}. Each is scaled to its own range of values."
        parts.append(StoredPictures(title, arrays, groups, names))
    return encode_png(draw_stored(parts, heading_of(distilled)))


def curves(distilled: DistilledSet) -> bytes:
    """Draw the metrics of the run against its outer steps, as a PNG."""
    records = MetricsLog(distilled.path / METRICS).read()
    if not records:
        reason = "it was imported, not distilled here" if distilled.run.imported else "it took no outer steps"
        raise NotFound(f"{distilled.run.name} has no metrics to draw: {reason}.")
    metrics = distilled.config.algorithm_record.metrics
    if own := distilled.run.extensions.get(distilled.config.algorithm):
        metrics = tuple(Metric(**each) for each in own["metrics"])
    return encode_png(draw_curves(columns_of(records), metrics, heading_of(distilled)))


def animation(distilled: DistilledSet) -> bytes:
    """Draw the images over the course of the distillation, as a GIF."""
    course = read_course(distilled.path)
    whitening = distilled.prepared.whitening()
    frames = [whitening.pixels(images) for images in course.images]
    classes = distilled.classes[course.indices]
    names, heading, count = _class_names(distilled), heading_of(distilled), len(distilled.classes)
    return draw_animation(frames, course.steps.tolist(), classes, names, heading=heading, count=count)


def comparison(distilled: DistilledSet, other: DistilledSet) -> bytes:
    """Draw two runs of the same data set side by side, as a PNG."""
    first, second = distilled.prepared, other.prepared
    if (first.manifest.digest, first.only) != (second.manifest.digest, second.only):
        raise ConfigError(
            f"{distilled.run.name} is of {source_of(distilled.run.config)}, {other.run.name} of "
            f"{source_of(other.run.config)}: only runs of the same classes of the same data set, prepared "
            "with the same settings, can be compared."
        )
    settings = differences([distilled.run, other.run])
    left, right = (
        _side(run, {name: values[index] for name, values in settings.items()})
        for index, run in enumerate((distilled, other))
    )
    return encode_png(draw_comparison(left, right, _class_names(distilled)))


def _class_names(distilled: DistilledSet) -> Sequence[str]:
    return distilled.prepared.class_names


def _pixels(distilled: DistilledSet) -> Any:
    return distilled.prepared.whitening().pixels(distilled.images)


def _side(distilled: DistilledSet, settings: Mapping[str, Any]) -> Side:
    """One side of a comparison, described by its accuracy and the settings in which the two differ."""
    best = best_evaluation(read_results(distilled.path, "evaluations").found)
    result = (
        f"test accuracy {accuracy(best['accuracy'])} ({best['architecture']})" if best else "not evaluated"
    )
    described = ("ipc", "parametrization", "steps")  # by `describe_run`
    others = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in settings.items()
        if name not in described and value is not None
    ]
    stored_size = f"{exact_size(distilled.size.stored_bytes.images)} stored"
    details = [describe_run(distilled.run), result, stored_size, *others]
    heading = Heading(distilled.run.name, ", ".join(details))
    return Side(heading, _pixels(distilled), distilled.classes)


def _paths(
    distilled: DistilledSet, kinds: Sequence[str], other: DistilledSet | None, out: Path | None
) -> list[Path]:
    """The file of each figure."""
    names = [f"{kind}-{other.run.name}" if kind == "compare" and other else kind for kind in kinds]
    files = [f"{name}{EXTENSIONS[kind]}" for name, kind in zip(names, kinds, strict=True)]
    extension = EXTENSIONS[kinds[0]]
    if out is not None and len(kinds) == 1 and not out.is_dir():
        if out.suffix.lower() != extension:
            raise ConfigError(
                f"{out} must end in {extension}, the format of this figure, or be an existing folder."
            )
        return [out]
    folder = out or distilled.path / FIGURES
    if folder.is_file() or (not folder.is_dir() and folder.suffix.lower() in EXTENSIONS.values()):
        raise ConfigError(f"{folder} must be a folder for {len(kinds)} figures.")
    return [folder / file for file in files]
