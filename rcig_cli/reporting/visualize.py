"""Pictures of a run: arrays and logs out of the store, files into its folder or where the user wants them."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from rcig_cli.errors import ConfigError, NotFound
from rcig_cli.reporting.figures.animation import draw_animation
from rcig_cli.reporting.figures.comparison import Side, draw_comparison
from rcig_cli.reporting.figures.curves import ACCURACY, LOSS, NORMS, RATES, draw_curves
from rcig_cli.reporting.figures.grid import draw_grid
from rcig_cli.reporting.figures.labels import draw_labels
from rcig_cli.reporting.formatting import accuracy, count_of
from rcig_cli.reporting.measurements import read_log, read_measurements
from rcig_cli.runs.distill.distill import METRICS
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.distill.snapshots import read_course
from rcig_cli.store.files import make_folder, storage_errors, write_bytes_atomically
from rcig_cli.store.plain import check_own

# The ending of the file of each kind of picture.
ENDINGS = {"grid": ".png", "labels": ".png", "curves": ".png", "animate": ".gif", "compare": ".png"}

_FIGURES = "figures"


def visualize(
    distilled: DistilledSet,
    kinds: Sequence[str],
    *,
    other: DistilledSet | None = None,
    out: Path | None = None,
) -> list[Path]:
    """Draw pictures of a run.

    Parameters
    ----------
    distilled
        What is drawn.
    kinds
        Of `ENDINGS`, at least one.
    other
        What it is compared with.
    out
        The file of one picture, the folder of several; by default ``figures`` in the run's folder.

    Returns
    -------
    list of Path
        The files, in the order of ``kinds``; none is written unless all could be drawn.

    Raises
    ------
    ConfigError
        If ``out`` can't be, or the two runs are not of the same data set.
    NotFound
        If the run has not kept what a picture shows.
    """
    paths = _paths(distilled, kinds, other, out)
    drawn = [draw(distilled, kind, other) for kind in kinds]
    for path, content in zip(paths, drawn, strict=True):
        make_folder(path.parent)
        write_bytes_atomically(path, content)
    return paths


def draw(distilled: DistilledSet, kind: str, other: DistilledSet | None = None) -> bytes:
    """Draw one kind of picture, encoded as its file is."""
    if kind == "compare":
        assert other is not None
        return comparison(distilled, other)
    return _DRAWN[kind](distilled)


def grid(distilled: DistilledSet) -> bytes:
    """Draw every distilled image under its class's name, in natural colours: a PNG."""
    names = distilled.prepared.manifest.class_names
    return _png(draw_grid(_pixels(distilled), distilled.classes, names))


def labels(distilled: DistilledSet) -> bytes:
    """Draw the learned soft labels beside their images: a PNG."""
    names = distilled.prepared.manifest.class_names
    return _png(draw_labels(_pixels(distilled), distilled.labels, distilled.classes, names))


def curves(distilled: DistilledSet) -> bytes:
    """Draw what the run said of itself at each step: a PNG.

    Raises
    ------
    NotFound
        If it has said nothing: it was imported.
    """
    records = read_log(distilled.path / METRICS)
    if not records:
        raise NotFound(f"{distilled.run.name} has no metrics to draw: it was not distilled here.")
    metrics = {name: [record.get(name) for record in records] for name in records[-1]}
    panels = [LOSS, ACCURACY, NORMS, *([RATES] if distilled.config.algorithm.has_rates else [])]
    return draw_curves(metrics, panels, f"{distilled.run.name}: {described(distilled)}")


def animation(distilled: DistilledSet) -> bytes:
    """Draw the images as they came about: a GIF.

    Raises
    ------
    NotFound
        If the run kept no snapshots.
    Corrupt
        If they are damaged.
    """
    course = read_course(distilled.path)
    whitening = distilled.prepared.whitening()
    frames = [whitening.pixels(images) for images in course.images]
    names = distilled.prepared.manifest.class_names
    classes = distilled.classes[course.indices]
    return draw_animation(frames, course.steps.tolist(), classes, names, count=len(distilled.classes))


def comparison(distilled: DistilledSet, other: DistilledSet) -> bytes:
    """Draw two runs of one data set side by side: a PNG.

    Raises
    ------
    ConfigError
        If they are not of one data set.
    """
    if distilled.prepared.manifest.digest != other.prepared.manifest.digest:
        raise ConfigError(
            f"{distilled.run.name} is of {distilled.run.dataset}, {other.run.name} of {other.run.dataset}: "
            "only runs of the same data set can be compared."
        )
    names = distilled.prepared.manifest.class_names
    return _png(draw_comparison(_side(distilled), _side(other), names))


def described(distilled: DistilledSet) -> str:
    """Say in a few words what a run is."""
    config = distilled.config
    how = "imported" if distilled.run.imported else f"{distilled.run.step} steps"
    return f"{count_of(config.ipc, 'image')} per class of {config.dataset}, {how}"


def _side(distilled: DistilledSet) -> Side:
    config, found = distilled.config, read_measurements(distilled.path, "evaluations").found
    made = (
        f"{config.algorithm.algorithm}, {config.algorithm.solver}, width {config.width}, seed {config.seed}"
    )
    last = f"{accuracy(found[-1]['accuracy'])} ({found[-1]['architecture']})" if found else ""
    details = [described(distilled), made, f"test accuracy {last}" if found else "not evaluated"]
    return Side(distilled.run.name, details, _pixels(distilled), distilled.classes)


_DRAWN: dict[str, Callable[[DistilledSet], bytes]] = {
    "grid": grid,
    "labels": labels,
    "curves": curves,
    "animate": animation,
}


def _pixels(distilled: DistilledSet) -> Any:
    return distilled.prepared.whitening().pixels(distilled.images)


def _png(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG", optimize=True)
    return encoded.getvalue()


def _paths(
    distilled: DistilledSet, kinds: Sequence[str], other: DistilledSet | None, out: Path | None
) -> list[Path]:
    """Where each picture goes.

    Raises
    ------
    ConfigError
        If ``out`` can't be that.
    """
    names = [f"{kind}-{other.run.name}" if kind == "compare" and other else kind for kind in kinds]
    endings = [ENDINGS[kind] for kind in kinds]
    if out is None or len(kinds) > 1:
        folder = out or check_own(distilled.path / _FIGURES)
        with storage_errors(folder, "read"):
            is_file = folder.exists() and not folder.is_dir()
        if is_file or (out is not None and out.suffix.lower() in ENDINGS.values()):
            raise ConfigError(f"{folder} must be a folder: {len(kinds)} pictures are drawn.")
        return [folder / f"{name}{ending}" for name, ending in zip(names, endings, strict=True)]
    with storage_errors(out, "read"):
        is_folder = out.is_dir()
    if is_folder:
        return [out / f"{names[0]}{endings[0]}"]
    if out.suffix.lower() != endings[0]:
        raise ConfigError(f"{out} must end in {endings[0]}: that is what is drawn.")
    return [out]
