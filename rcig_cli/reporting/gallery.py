"""A gallery of all finished runs of a store, as an HTML page; ``gallery.html.j2`` defines its layout."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rcig_cli import __version__
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from rcig_cli.reporting.compare import best_evaluation
from rcig_cli.reporting.figures.canvas import encode_png
from rcig_cli.reporting.figures.grid import draw_grid
from rcig_cli.reporting.formatting import decoded_per_class, describe_protocol, source_of
from rcig_cli.reporting.html_page import check_html_file, embedded, write_page
from rcig_cli.runs.distill.distilled import DistilledSet, open_distilled
from rcig_cli.runs.report import Report
from rcig_cli.store.names import natural_key
from rcig_cli.store.results import read_results
from rcig_cli.store.store import GALLERY, Store

_FEW, _SIDE_OF_MANY = 20, 80  # more images than 20 are drawn about 80 pixels wide


def write_gallery(store: Store, *, report: Report, out: Path | None = None) -> tuple[Path, list[str]]:
    """Write a page with the pictures and accuracies of all finished runs, imported ones among them.

    Parameters
    ----------
    store
        The store.
    report
        Where progress and warnings go: each run that can't be read is left out with a warning.
    out
        The file; by default ``gallery.html`` in the store's folder.

    Returns
    -------
    path : Path
        The file.
    names : list of str
        The runs on the page, in its order: by data set, and then by accuracy.

    Raises
    ------
    ConfigError
        If ``out`` is not the name of an HTML file.
    NotFound
        If there is no finished run that can be read.
    """
    check_html_file(out)
    path, listing = out or store.root / GALLERY, store.runs()
    for problem in listing.problems:
        report.warn(problem)
    finished = [run.name for run in listing.found if run.status == "finished"]
    entries = []
    for done, name in enumerate(finished, 1):
        try:
            entries.append(_entry(open_distilled(store, name), report))
        except (ConfigError, Corrupt, NotFound) as error:
            report.warn(f"{name} is left out: {error}")
        report.progress("drawing", done, len(finished))
    if not entries:
        raise NotFound(
            "There is nothing to show: the store has no finished run that can be read. Start one with "
            "`rcig distill`, or import a set with `rcig import`."
        )
    entries.sort(key=_place)
    sources = dict.fromkeys(entry["source"] for entry in entries)
    groups = [
        # No run has a name with a colon.
        {
            "source": source,
            "anchor": f"data:{number}",
            "entries": [e for e in entries if e["source"] == source],
        }
        for number, source in enumerate(sources, 1)
    ]
    write_page(
        path, "gallery.html.j2", title="Distilled sets", groups=groups, runs=len(entries), version=__version__
    )
    return path, [entry["run"].name for entry in entries]


def _entry(distilled: DistilledSet, report: Report) -> dict[str, Any]:
    """Gather what the page shows of a run; warnings go to ``report``."""
    evaluations = read_results(distilled.path, "evaluations")
    for problem in evaluations.problems:
        report.warn(problem)
    run, best = distilled.run, best_evaluation(evaluations.found)
    pixels = distilled.prepared.whitening().pixels(distilled.images)
    scale = max(1, round(_SIDE_OF_MANY / max(pixels.shape[1:3]))) if len(pixels) > _FEW else None
    picture = draw_grid(pixels, distilled.classes, distilled.prepared.class_names, scale=scale)
    return {
        "run": run,
        "source": source_of(run.config),
        "best": best,
        "images": decoded_per_class(run.config),
        "size": distilled.size,
        "picture": embedded(encode_png(picture)),
        "caption": f"Evaluated with {describe_protocol(best['protocol'])}." if best else "",
    }


def _place(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """The place of a run: by data set, then the most accurate first and those not evaluated last."""
    best = entry["best"]
    mean = -float(best["accuracy"]["mean"]) if best else 0.0
    return natural_key(entry["source"]), best is None, mean, natural_key(entry["run"].name)
