"""Everything about a run on one HTML page: pictures, judgements, settings, and the commands that make it."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image

from rcig_cli.errors import ConfigError, NotFound
from rcig_cli.presets.config import flat
from rcig_cli.reporting import visualize
from rcig_cli.reporting.commands import (
    attack_command,
    distill_commands,
    evaluate_command,
    import_command,
    needed_settings,
    prepare_command,
)
from rcig_cli.reporting.figures.page import Commands, Part, Picture, Section, Sheet, render_page
from rcig_cli.reporting.formatting import (
    TARGETS,
    accuracy,
    count_of,
    decimal,
    describe_network,
    describe_training,
)
from rcig_cli.reporting.measurements import read_measurements
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.report import Report
from rcig_cli.store.files import make_folder, write_text_atomically
from rcig_cli.store.plain import check_own
from rcig_cli.store.results import Kind

Record = Mapping[str, Any]

_NOTHING = "–"  # where there is no number


def write_page(distilled: DistilledSet, report: Report, out: Path | None = None) -> Path:
    """Write the page of a run.

    Parameters
    ----------
    distilled
        What it is of.
    report
        Where warnings go.
    out
        The file; by default ``figures/report.html`` in the run's folder.

    Raises
    ------
    ConfigError
        If ``out`` is no name of an HTML file.
    """
    if out is not None and (out.suffix.lower() not in (".html", ".htm") or out.is_dir()):
        raise ConfigError(f"{out} must end in .html: that is what is written.")
    path = out or check_own(distilled.path / "figures") / "report.html"
    text = page(distilled, report)
    make_folder(path.parent)
    write_text_atomically(path, text)
    return path


def page(distilled: DistilledSet, report: Report) -> str:
    """Put the page together, as HTML."""
    evaluations = _results(distilled, "evaluations", report)
    attacks = [each for each in _results(distilled, "attacks", report) if _targets(each)]
    sections = [
        Section("accuracy", "Accuracy", [_evaluations(evaluations)]) if evaluations else None,
        Section("images", "The images", [_grid(distilled)]),
        *_course(distilled),
        Section("labels", "Soft labels", [_labels(distilled)]),
        Section("privacy", "Attacks on membership", _attacks(attacks)) if attacks else None,
        Section("commands", "Commands", _commands(distilled, evaluations, attacks)),
        Section("settings", "Settings", [_settings(distilled)]),
        Section("data", "Data", [_data(distilled)]),
        Section("versions", "Versions", [_versions(distilled)]),
    ]
    run = distilled.run
    title = f"{run.name}: {count_of(distilled.config.ipc, 'image')} per class of {run.dataset}"
    foot = f"Written by rcig {_version()} from {run.name}, created {_day(run.created)}."
    return render_page(title, _lead(distilled, evaluations), [each for each in sections if each], foot)


def _results(distilled: DistilledSet, kind: Kind, report: Report) -> list[Record]:
    listing = read_measurements(distilled.path, kind)
    for problem in listing.problems:
        report.warn(problem.message)
    return list(listing.found)


def _spaced(count: int) -> str:
    """A count, in groups of three from five digits on."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if count >= 10_000 else str(count)


def _day(moment: str) -> str:
    return moment[:10]


def _version() -> str:
    from rcig_cli import __version__

    return __version__


def _lead(distilled: DistilledSet, evaluations: Sequence[Record]) -> list[str]:
    """What it is, in two sentences, and how good."""
    manifest, config = distilled.prepared.manifest, distilled.config
    count = len(distilled.images)
    stands = "image stands" if count == 1 else "images stand"
    made = (
        f"distilled by {config.algorithm.algorithm.upper()} in {distilled.run.step} steps"
        if distilled.run.step
        else "distilled elsewhere and imported"
    )
    what = (
        f"{_spaced(count)} synthetic {stands} for the {_spaced(manifest.sizes['train'])} training images of "
        f"{manifest.name}, {made}. Each with its soft label, they are made so that a network trained on them "
        "alone does as well as it can on real images."
    )
    if not evaluations:
        return [what]
    best = max(evaluations, key=lambda each: float(each["accuracy"]["mean"]))
    beside = best.get("random_subset")
    against = f", on as many random images {accuracy(beside)}" if beside else ""
    return [what, f"Test accuracy: {accuracy(best['accuracy'])}{against}."]


def _evaluations(evaluations: Sequence[Record]) -> Sheet:
    head = ("network", "trained on it", "random subset", "paper", "protocol")
    rows = [
        (
            describe_network(each["protocol"]),
            accuracy(each["accuracy"]),
            accuracy(each.get("random_subset"), _NOTHING),
            accuracy(each.get("paper"), _NOTHING),
            f"{count_of(each['protocol']['networks'], 'network')}, "
            f"{describe_training(each['protocol'], in_full=True)}",
        )
        for each in evaluations
    ]
    caption = "Test accuracy, mean ± standard deviation over networks. The paper's are of width 128."
    return Sheet(caption, head, rows, "remarks")


def _picture(content: bytes, alt: str, caption: str) -> Picture:
    with Image.open(io.BytesIO(content)) as opened:
        return Picture(content, alt, caption, opened.size)


def _grid(distilled: DistilledSet) -> Picture:
    names = ", ".join(distilled.prepared.manifest.class_names[:20])
    more = " and more" if len(distilled.prepared.manifest.class_names) > 20 else ""
    alt = f"The {len(distilled.images)} distilled images under their class names: {names}{more}."
    return _picture(visualize.grid(distilled), alt, "In natural colours, each pixel as a square.")


def _course(distilled: DistilledSet) -> Iterator[Section]:
    """How it came about, as far as the run has kept that: an imported one has not."""
    for name, heading, draw, alt, caption in (
        (
            "animation",
            "How they came about",
            visualize.animation,
            "An animation of the images, from the real ones they began as to the end.",
            "From the real images it began with to the end; the bar grows with the logarithm of the step.",
        ),
        (
            "curves",
            "Curves",
            visualize.curves,
            "Curves over the outer steps: loss, accuracy on the real batch, norms of the two gradients.",
            "Light: each step. Dark: the running median.",
        ),
    ):
        with suppress(NotFound):
            yield Section(name, heading, [_picture(draw(distilled), alt, caption)])


def _labels(distilled: DistilledSet) -> Picture:
    alt = "A heat map of the soft labels: a row for each image, a column for each class."
    caption = "Vermilion speaks for a class, blue against it."
    return _picture(visualize.labels(distilled), alt, caption)


def _targets(attack: Record) -> Mapping[str, Record]:
    """What networks were trained on, with what the attacks found; empty for a record of another kind."""
    targets = attack.get("targets")
    if not isinstance(targets, Mapping):
        return {}
    return {
        name: targets[name]
        for name in TARGETS
        if isinstance(targets.get(name), Mapping) and isinstance(targets[name].get("auc"), Mapping)
    }


def _attacks(attacks: Sequence[Record]) -> list[Part]:
    said = (
        "Can one tell from a trained network which real images its training set was made from? "
        "An area under the ROC curve (AUC) of 0.5 is guessing, 1 is certainty. Beside those trained on the "
        "distilled set stand networks trained on all real images, and on as many at random as were distilled."
    )
    return [said, *(_attack(each) for each in attacks)]


def _auc(found: Record | None) -> str:
    return decimal(found["mean"], found.get("std")) if found else _NOTHING


def _attack(attack: Record) -> Sheet:
    targets = _targets(attack)
    kinds = list(dict.fromkeys(kind for each in targets.values() for kind in each["auc"]))
    head = ("trained on", "test accuracy", *(kind.replace("_", " ") for kind in kinds))
    rows = [
        (
            TARGETS[name],
            accuracy(each.get("accuracy"), _NOTHING),
            *(_auc(each["auc"].get(kind)) for kind in kinds),
        )
        for name, each in targets.items()
    ]
    caption = "Test accuracy, and the AUC of each attack: mean ± standard deviation over networks."
    return Sheet(caption, head, rows, "numbers")


def _commands(
    distilled: DistilledSet, evaluations: Sequence[Record], attacks: Sequence[Record]
) -> list[Part]:
    run = distilled.run
    lines = [
        prepare_command(distilled.prepared),
        *(
            [import_command(run)]
            if run.imported
            else distill_commands(distilled.prepared, run, distilled.config)
        ),
        *dict.fromkeys(evaluate_command(distilled, each) for each in evaluations),
        *dict.fromkeys(attack_command(distilled, each) for each in attacks),
        f"rcig report {run.name}",
    ]
    said = "What made this, and makes it again. A new store calls its first run run_1."
    return [said, Commands(lines)]


def _settings(distilled: DistilledSet) -> Sheet:
    config = distilled.config
    chosen = {"dataset", "ipc", *needed_settings(distilled.prepared, config)}
    ordered = sorted(flat(config).items(), key=lambda item: (item[0] not in chosen, item[0]))
    rows = [(name, _written(value), "chosen" if name in chosen else "") for name, value in ordered]
    return Sheet(
        "The fully resolved configuration; what is not chosen is the preset's or follows from it.",
        ("setting", "value", ""),
        rows,
    )


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _data(distilled: DistilledSet) -> Sheet:
    manifest = distilled.prepared.manifest
    height, width, channels = manifest.shape
    zca = manifest.config.get("zca_reg")
    whitened = f"yes, regularisation {zca:g}" if isinstance(zca, int | float) else "yes"
    parent = distilled.run.parents.get("file")
    rows = [
        ("name", manifest.name),
        (
            "images",
            f"{_spaced(manifest.sizes['train'])} for training, {_spaced(manifest.sizes['test'])} for testing",
        ),
        ("size", f"{height} x {width} pixels, {'grey' if channels == 1 else 'RGB'}"),
        ("classes", f"{len(manifest.class_names)}: {', '.join(manifest.class_names)}"),
        ("whitened", whitened if manifest.whitened else "no, standardised only"),
        ("digest", manifest.digest),
        *([("imported from", f"{parent['name']}, SHA-256 {parent['digest']}")] if parent else []),
    ]
    return Sheet("What it was distilled from.", (), rows)


def _versions(distilled: DistilledSet) -> Sheet:
    rows = sorted(distilled.run.versions.items())
    return Sheet(f"Libraries that {distilled.run.name} began with.", ("library", "version"), rows, "numbers")
