"""The HTML report of a run: figures, accuracies, attacks, settings, and the commands that reproduce it.

This module gathers the contents; ``report.html.j2`` defines the layout.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rcig_cli import __version__
from rcig_cli.errors import NotFound
from rcig_cli.reporting.commands import chosen_settings, commands_of
from rcig_cli.reporting.compare import best_evaluation
from rcig_cli.reporting.formatting import (
    ATTACKS,
    TARGETS,
    accuracy,
    auc,
    chance_auc,
    count_of,
    describe_images,
    known_settings,
    source_of,
)
from rcig_cli.reporting.html_page import check_html_file, embedded, write_page
from rcig_cli.reporting.visualize import FIGURES, animation, curves, grid, labels, stored
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.distill.scarce import scarce_classes
from rcig_cli.runs.report import Report
from rcig_cli.store.results import Kind, read_results

Record = Mapping[str, Any]


def write_report(distilled: DistilledSet, *, report: Report, out: Path | None = None) -> Path:
    """Write the HTML report of a run.

    Parameters
    ----------
    distilled
        The run.
    report
        Where warnings go.
    out
        The file; by default ``figures/report.html`` in the run's folder.

    Raises
    ------
    ConfigError
        If ``out`` is not the name of an HTML file.
    """
    check_html_file(out)
    path = out or distilled.path / FIGURES / "report.html"
    write_page(path, "report.html.j2", **_context(distilled, report))
    return path


def _context(distilled: DistilledSet, report: Report) -> dict[str, Any]:
    """Gather the variables of the template; warnings go to ``report``."""
    evaluations = results_of(distilled, "evaluations", report)
    attacks = _with_lira(results_of(distilled, "attacks", report))
    figures = {}
    size, parametrization = distilled.size, distilled.config.parametrization_record
    drawn = {"grid": grid, "labels": labels, "animation": animation, "curves": curves}
    for name, draw in (drawn if size.is_raw else {**drawn, "stored": stored}).items():
        with suppress(NotFound):  # such as the curves of an imported run
            figures[name] = embedded(draw(distilled))
    config, source = distilled.config, source_of(distilled.run.config)
    return dict(
        run=distilled.run,
        config=config,
        dataset=distilled.prepared.manifest,
        sizes=distilled.prepared.sizes,
        class_names=distilled.prepared.class_names,
        source=source,
        size=size,
        picked=not distilled.run.imported and config.algorithm_record.pick is not None,
        parametrization=parametrization,
        title=f"{distilled.run.name}: {describe_images(distilled.run.config, f' of {source}')}",
        scarce=scarce_classes(distilled.prepared, config.images_per_class(distilled.prepared.classes)),
        best=best_evaluation(evaluations),
        evaluations=evaluations,
        attacks=[_attack_table(each) for each in attacks],
        figures=figures,
        others=sorted({run for each in attacks for run in each.get("compared_with", ())}),
        commands=[*commands_of(distilled, evaluations, attacks), f"rcig report {distilled.run.name}"],
        settings=settings_rows(distilled),
        version=__version__,
    )


def results_of(distilled: DistilledSet, kind: Kind, report: Report) -> list[Record]:
    """Read the records of a run, the oldest first; those that can't be read are left out, with a warning."""
    listing = read_results(distilled.path, kind)
    for problem in listing.problems:
        report.warn(problem)
    return list(listing.found)


def _with_lira(records: list[Record]) -> list[Record]:
    """Join each record of LiRA with other runs, which has no protocol, with the attack that it is part of."""
    attacks: list[Record] = []
    for record in records:
        if "protocol" in record:
            attacks.append(record)
        elif attacks and attacks[-1]["protocol"].get("shadows"):
            targets = dict(attacks[-1]["targets"])
            targets["distilled"] = {**targets["distilled"], **record["targets"]["distilled"]}
            attacks[-1] = {**attacks[-1], "targets": targets, "compared_with": record["compared_with"]}
    return attacks


def _attack_table(attack: Record) -> dict[str, Any]:
    """The caption, the titles of the attacks, and a row of cells for each target."""
    protocol = attack["protocol"]
    targets = {name: attack["targets"][name] for name in TARGETS if name in attack["targets"]}
    # Of one run, LiRA has one result for each target on which it was used.
    lira = {name: target["lira"][0] for name, target in targets.items() if target["lira"]}
    deviation = ": mean ± standard deviation over networks" if protocol["networks"] > 1 else ""
    caption = [
        f"Test accuracy, and the AUC of each attack, {'with' if lira else 'without'} LiRA, on "
        f"{count_of(protocol['networks'], 'network')} for each target after "
        f"{count_of(protocol['steps'][-1], 'training step')}{deviation}.",
        chance_auc(protocol["judged_by"], protocol["judged_by"]),
        *(
            chance_auc(each["members"], each["non_members"], f" of LiRA for the {TARGETS[name]}")
            for name, each in lira.items()
        ),
    ]
    aucs = {name: dict(target["auc"]) for name, target in targets.items()}
    for name, each in lira.items():
        aucs[name]["lira"] = each["auc"]
    titles = {kind: title for kind, title in ATTACKS.items() if any(kind in each for each in aucs.values())}
    rows = [
        (
            TARGETS[name],
            [accuracy(target["accuracy"], "–"), *(auc(aucs[name].get(kind), "–") for kind in titles)],
        )
        for name, target in targets.items()
    ]
    return {"caption": " ".join(caption), "titles": [*titles.values()], "rows": rows}


def settings_rows(distilled: DistilledSet) -> list[tuple[str, str, str, str]]:
    """Name, value, origin and meaning of every setting, those that were chosen first."""
    config = distilled.config
    imported = distilled.run.imported
    chosen = set() if imported else {"dataset", "ipc", *chosen_settings(distilled.prepared, config)}
    declared = config.declared
    rows = [
        (name, _value(value), "chosen" if name in chosen else "", declared[name].help)
        for name, value in known_settings(distilled.run).items()
    ]
    return sorted(rows, key=lambda row: row[2], reverse=True)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
