"""``rcig show``."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from rcig_cli.cli.options import Context, with_context
from rcig_cli.errors import ConfigError
from rcig_cli.presets.set_size import SetSize
from rcig_cli.reporting.formatting import (
    TARGETS,
    accuracy,
    auc,
    count_of,
    describe_divergence,
    describe_network,
    describe_protocol,
    describe_size,
    known_settings,
)
from rcig_cli.runs.sizes import size_of_run
from rcig_cli.store.documents import read_document
from rcig_cli.store.results import read_results
from rcig_cli.store.store import TABLE


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
    here.console.data(_as_toml(document) if toml else "\n".join(_description(document)), document)


def _find(here: Context, name: str) -> dict[str, Any]:
    store = here.store()
    found = store.locate(name)
    if found.kind == "data set":
        return store.dataset(found.name).to_json()
    if found.kind in ("sweep", "sequence"):
        group: Any = store.sweep(found.name) if found.kind == "sweep" else store.sequence(found.name)
        table = read_document(found.path / TABLE) if TABLE in group.files else None
        return {**store.with_current_status(group).to_json(), "table": table}
    evaluations, attacks = (read_results(found.path, kind) for kind in ("evaluations", "attacks"))
    for problem in (*evaluations.problems, *attacks.problems):
        here.console.warn(problem.message)
    # A record of LiRA has no protocol of its own: it belongs to the record of the other attacks.
    complete = [each for each in attacks.found if "protocol" in each]
    run = store.with_current_status(store.run(found.name))
    manifest = {**run.to_json(), "config": known_settings(run)}
    if run.imported:
        manifest["imported_from"] = run.parents["file"]["name"]
    size = size_of_run(store, run)
    sizes = size.to_json() if size else {}
    return {**manifest, **sizes, "evaluations": list(evaluations.found), "attacks": complete}


def _as_toml(document: Mapping[str, Any]) -> str:
    from rcig_cli.presets.config import declared_settings
    from rcig_cli.settings import to_toml

    if document["kind"] != "run":
        raise ConfigError(f"--toml prints the settings of a run, but {document['name']} is not a run.")
    return to_toml(document["config"], declared_settings()).rstrip("\n")


def _description(document: Mapping[str, Any]) -> list[str]:
    """Describe an artifact: its plain values, what was measured, and its settings and other records."""
    below = ("evaluations", "attacks", "table", "divergences", "files", "log")
    shown = {key: value for key, value in document.items() if key not in below and value not in (None, {})}
    if "stored_bytes" in document:
        size = SetSize.from_json(document)
        shown = {key: value for key, value in shown.items() if key not in size.to_json()}
        shown["size"] = describe_size(size)
    if "imported_from" in document:
        shown["imported from"] = shown.pop("imported_from")
        del shown["step"], shown["seed"]  # of a distillation that did not take place here
    if document["kind"] in ("sweep", "sequence"):  # `rcig show` of its runs shows these
        per_run = ("configurations", "protocols")
        shown["config"] = {key: value for key, value in shown["config"].items() if key not in per_run}
    table = document.get("table") or {}
    several = len(table.get("protocols", ())) > 1
    return [
        *lines_of({key: value for key, value in shown.items() if not isinstance(value, dict)}),
        *map(_evaluated, document.get("evaluations", ())),
        *map(_attacked, document.get("attacks", ())),
        *(_row(row, with_protocol=several) for row in table.get("rows", ())),
        *map(_stage, table.get("tasks", ())),
        *(_diverged(each, document["config"]) for each in document.get("divergences", ())),
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


def _evaluated(evaluation: Mapping[str, Any]) -> str:
    random = evaluation["random_subset"]
    baseline = f", random subset {accuracy(random)}" if random else ""
    return (
        f"test accuracy: {accuracy(evaluation['accuracy'])}{baseline}  "
        f"({describe_protocol(evaluation['protocol'])})"
    )


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
