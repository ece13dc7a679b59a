"""``rcig show``."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from rcig_cli.cli.list import status_of, step_of
from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import ConfigError, Corrupt, NotFound
from rcig_cli.presets.classes import chosen_classes
from rcig_cli.presets.set_size import SetSize
from rcig_cli.reporting.formatting import (
    TARGETS,
    accuracy,
    auc,
    count_of,
    dd_ranking_scores,
    describe_divergence,
    describe_images,
    describe_metrics,
    describe_network,
    describe_protocol,
    describe_run,
    describe_size,
    known_settings,
    source_of,
)
from rcig_cli.store.documents import read_document
from rcig_cli.store.metrics import final_metrics
from rcig_cli.store.records import RunManifest
from rcig_cli.store.results import read_results
from rcig_cli.store.store import TABLE, Store

_GIVEN = ("classes", "algorithm", "parametrization")  # what a preset is for, besides the number of images


@with_context
def show(
    here: Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A run, a data set, a sweep or a sequence of tasks.")
    ],
    toml: Annotated[
        bool, typer.Option("--toml", help="Print a run's settings as TOML, for `rcig distill --config`.")
    ] = False,
) -> None:
    """Show the settings, status and accuracies of a run, a data set, a sweep or a sequence of tasks.

    Example: rcig show run_1, or rcig show run_1 --toml > settings.toml
    """
    document = _find(here, name)
    if toml:
        here.console.data(_as_toml(document), document)
    elif document["kind"] == "run":
        here.console.document(document)
        _show_run(here, document)
    else:
        here.console.data("\n".join(_description(document)), document)


def _find(here: Context, name: str) -> dict[str, Any]:
    store = here.store()
    found = store.locate(name)
    if found.kind == "data set":
        return store.dataset(found.name).to_json()
    if found.kind == "sweep" or found.kind == "sequence":
        group = store.group(found.kind, found.name)
        table = read_document(found.path / TABLE) if TABLE in group.files else None
        return {**store.with_current_status(group).to_json(), "table": table}
    evaluations, attacks = (read_results(found.path, kind) for kind in ("evaluations", "attacks"))
    for problem in (*evaluations.problems, *attacks.problems):
        here.console.warn(problem)
    # A record of LiRA has no protocol of its own: it belongs to the record of the other attacks.
    complete = [each for each in attacks.found if "protocol" in each]
    run = store.with_current_status(store.run(found.name))
    manifest = {**run.to_json(), "config": known_settings(run), "preset": _preset(store, run)}
    if run.imported:
        manifest["imported_from"] = run.parents["file"]["name"]
    progress = store.progress(run)
    if progress is not None:
        manifest["progress"] = progress.to_json()
    sizes = manifest.pop("size") or {}
    manifest["step"] = step_of(run, progress)
    finished = run.status == "finished" and not run.imported
    what = describe_run(run) if finished else describe_images(run.config, f" of {source_of(run.config)}")
    manifest["description"] = f"{what}, {status_of(run, progress)}"
    manifest["metrics"] = final_metrics(found.path)
    return {**manifest, **sizes, "evaluations": list(evaluations.found), "attacks": complete}


def _preset(store: Store, run: RunManifest) -> dict[str, Any] | None:
    """Return the settings of the preset of a run's data set, method and number of images.

    None if the run was imported, its data set can't be read or doesn't allow the preset's settings, or its
    method is one of the user's own, which is not imported only to be shown.
    """
    from rcig_cli.distillation.methods import METHODS
    from rcig_cli.presets.config import resolve, with_possible_batch

    if run.imported or run.config["algorithm"] not in METHODS:
        return None
    ipc = run.config["ipc"]
    same = {name: run.config[name] for name in _GIVEN if run.config[name] is not None}
    given = {**same, "ipc": tuple(ipc) if isinstance(ipc, list) else ipc}
    try:
        dataset = store.dataset(run.dataset)
        classes = chosen_classes(run.config["classes"], dataset.class_names)
        preset = resolve(run.dataset, dataset.shape, len(classes), given)
    except (NotFound, Corrupt, ConfigError):
        return None
    if len(classes) == len(dataset.class_names):
        preset = with_possible_batch(preset, dataset.sizes["train"], len(classes))
    else:  # the number of training images of some classes is not recorded
        preset = preset.override({"batch": run.config["batch"]})
    return preset.to_json()


def _show_run(here: Context, run: Mapping[str, Any]) -> None:
    """Print the tables of a run: facts, accuracies, settings that differ from the preset, and others."""
    console = here.console
    console.text(f"{run['name']}: {run['description']}")
    console.table(("", ""), _facts(run), wrapped=True)
    evaluations = run["evaluations"]
    if evaluations:
        console.text("\nTest accuracy")
        rows = [
            (
                describe_protocol(each["protocol"]),
                accuracy(each["accuracy"]),
                accuracy(each["random_subset"]),
                accuracy(each.get("full_data")),
                accuracy(each.get("paper")),
            )
            for each in evaluations
        ]
        columns = ("networks", run["name"], "random subset", "all real images", "paper")
        console.table(columns, rows)
    if scored := [each for each in evaluations if each.get("scores")]:
        console.text("\nDD-Ranking's scores, by these protocols")
        console.table(
            ("networks", "HLR", "IOR", "LRS", "ARS"),
            [(describe_protocol(each["protocol"]), *dd_ranking_scores(each["scores"])) for each in scored],
        )
    for attack in run["attacks"]:
        console.text(_attacked(attack))
    for divergence in run["divergences"]:
        console.text(_diverged(divergence, run["config"]))
    config, preset = run["config"], run["preset"] or {}
    changed = [name for name in config if preset and config[name] != preset.get(name)]
    if changed:
        console.text("\nSettings that differ from the preset")
        compared = [(name, _value(config[name]), _value(preset.get(name))) for name in changed]
        console.table(("setting", run["name"], "preset"), compared)
    console.text("\nOther settings" if changed else "\nSettings")
    others = _by_panel({name: config[name] for name in config if name not in changed})
    console.table(("", ""), others, wrapped=True)
    versions = "  ".join(f"{name} {version}" for name, version in run["versions"].items())
    console.text("\nVersions")
    console.table(("",), [(versions,)], wrapped=True)


def _facts(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if metrics := describe_metrics(run["metrics"]):
        yield "metrics", metrics
    if "raw_images" in run:  # its size is recorded
        yield "size", describe_size(SetSize.from_json(run))
    if run["continues"]:
        yield "continues", f"{run['continues']['run']}, from step {run['continues']['step']}"
    if run["budget"]:
        yield "time", run["budget"]["reason"]
    if run["imported_as"]:
        yield "images read as", run["imported_as"]["space"]
        for note in run["imported_as"]["assumptions"]:
            yield "assumed", note["text"]
    for role in ("sweep", "sequence"):
        if role in run["parents"]:
            yield f"part of {role}", run["parents"][role]["name"]
    if run["tags"]:
        yield "tags", " ".join(run["tags"])
    yield "created (UTC)", _time(run["created"])
    yield "updated (UTC)", _time(run["updated"])
    if run["machine"]:
        yield "machine", ", ".join(f"{name} {value}" for name, value in run["machine"].items())
    if run["commit"]:
        yield "commit", run["commit"]


def _by_panel(settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return settings as text, grouped as in the help of `rcig distill`."""
    from rcig_cli.presets.config import declared_settings

    panels = {name: declared.panel or "General" for name, declared in declared_settings().items()}
    groups: dict[str, list[str]] = {panel: [] for panel in panels.values()}
    for name in (*(each for each in panels if each in settings), *sorted(settings.keys() - panels.keys())):
        if settings[name] is not None:
            panel = panels.get(name, "Of the method")  # which is one of the user's own
            groups.setdefault(panel, []).append(f"{name} {_value(settings[name])}")
    return [(panel, ", ".join(each)) for panel, each in groups.items() if each]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _as_toml(document: Mapping[str, Any]) -> str:
    from rcig_cli.presets.config import declared_settings
    from rcig_cli.settings import to_toml

    if document["kind"] != "run":
        raise ConfigError(f"--toml prints the settings of a run, but {document['name']} is not a run.")
    return to_toml(document["config"], declared_settings()).rstrip("\n")


def _time(moment: str) -> str:
    """Return a recorded time to the second."""
    return moment[:19].replace("T", " ")


def _description(document: Mapping[str, Any]) -> list[str]:
    """Describe a data set, sweep or sequence: its plain values, its results, and its other records."""
    below = ("table", "files")
    shown = {key: value for key, value in document.items() if key not in below and value not in (None, {})}
    if document["kind"] == "dataset":
        shown["config"] = {key: value for key, value in document["config"].items() if value is not None}
        shown["created"] = f"{_time(shown['created'])} (UTC)"
    if document["kind"] in ("sweep", "sequence"):  # `rcig show` of its runs shows these
        per_run = ("configurations", "protocols")
        shown["config"] = {key: value for key, value in shown["config"].items() if key not in per_run}
    table = document.get("table") or {}
    several = len(table.get("protocols", ())) > 1
    return [
        *lines_of({key: value for key, value in shown.items() if not isinstance(value, dict)}),
        *(_row(row, with_protocol=several) for row in table.get("rows", ())),
        *map(_stage, table.get("tasks", ())),
        *lines_of({key: value for key, value in shown.items() if isinstance(value, dict)}),
    ]


def lines_of(document: Mapping[str, Any], indent: str = "") -> list[str]:
    """Write a JSON object as ``key: value`` lines: nested objects last and indented, notes as their texts."""
    lines = []
    for key, value in sorted(document.items(), key=lambda item: isinstance(item[1], dict)):
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *lines_of(value, indent + "  ")]
        elif key in ("notes", "assumptions") and value:
            lines += [f"{indent}{key}:", *(f"{indent}  {note['text']}" for note in value)]
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            lines.append(f"{indent}{key}: {text}")
    return lines


def _diverged(divergence: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Describe a divergence, and the learning rates that were lowered after it."""
    rates = divergence["rates"]
    lower = [f"{name} {config[name]:g}, not {rates[name]:g}" for name in rates if config[name] < rates[name]]
    return describe_divergence(divergence) + (f"; since then {', '.join(lower)}" if lower else "")


def _attacked(attack: Mapping[str, Any]) -> str:
    """Give the AUC of the MLP attack on networks trained on each training set."""
    targets = attack["targets"]
    found = ", ".join(
        f"{auc(targets[target]['auc']['mlp'])} on the {label}"
        for target, label in TARGETS.items()
        if target in targets
    )
    protocol = attack["protocol"]
    return (
        f"attacked: AUC of the MLP attack {found}  ({describe_network(protocol)}, "
        f"{protocol['steps'][-1]} steps, {count_of(protocol['networks'], 'network')})"
    )


def _stage(stage: Mapping[str, Any]) -> str:
    """Describe the accuracies after a task of a sequence."""
    return (
        f"after {', '.join(stage['classes'])} ({stage['run']}): {accuracy(stage['accuracy'])} on "
        f"{stage['seen']} classes, random images {accuracy(stage['random_subset'])}, "
        f"all real images {accuracy(stage['full_data'])}"
    )


def _row(row: Mapping[str, Any], *, with_protocol: bool) -> str:
    """Describe a row of a sweep's table."""
    known = {name: value for name, value in row["settings"].items() if value is not None}
    settings = ", ".join(f"{name} {value}" for name, value in known.items()) or "as given"
    settings += f", protocol {row['protocol_label']}" if with_protocol else ""
    stored = f", {describe_size(SetSize.from_json(row))}" if "stored_bytes" in row else ""
    return f"{settings}: {accuracy(row['accuracy'], 'diverged')}{stored}"
