"""``rcig list``, ``rcig show`` and ``rcig doctor``: looking, without changing anything."""

import json as json_module
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.options import (
    DEFAULT_STORE,
    Context,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    context,
)
from rcig_cli.errors import Corrupt
from rcig_cli.reporting.formatting import (
    TARGETS,
    accuracy,
    count_of,
    decimal,
    describe_divergence,
    describe_network,
    describe_protocol,
)
from rcig_cli.store.checks import number

if TYPE_CHECKING:
    from rcig_cli.store.layout import Store


def list_all(
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """List the data sets, runs and sweeps of the store.

    Example: rcig list
    """
    del debug
    here = context(store, json, quiet)
    artifacts = here.store()
    datasets, runs, sweeps = artifacts.datasets(), artifacts.runs(), artifacts.sweeps()
    for problem in (*datasets.problems, *runs.problems, *sweeps.problems):
        here.console.warn(problem.message)
    if json:
        here.console.data("", {"datasets": [_brief_dataset(d) for d in datasets.found],
                               "runs": [_brief_run(r) for r in runs.found],
                               "sweeps": [_brief_sweep(s) for s in sweeps.found]})  # fmt: skip
        return
    if not datasets.found and not runs.found:
        here.console.note(f"Nothing in {artifacts.root} yet.")
        here.next("prepare digits")
    if datasets.found:
        rows = [(d.name, *map(str, _counts(d)), "x".join(map(str, d.shape))) for d in datasets.found]
        here.console.table(("data set", "training", "test", "classes", "shape"), rows)
    if runs.found:
        rows = [(r.name, r.dataset, _setting(r, "ipc"), _state(r), _minute(r.updated)) for r in runs.found]
        here.console.table(("run", "data set", "per class", "status", "updated (UTC)"), rows)
    if sweeps.found:
        rows = [(s.name, s.dataset, _progress(s), s.status, _minute(s.updated)) for s in sweeps.found]
        here.console.table(("sweep", "data set", "runs", "status", "updated (UTC)"), rows)


def _counts(dataset: Any) -> tuple[int, int, int]:
    return dataset.sizes["train"], dataset.sizes["test"], len(dataset.class_names)


def _progress(sweep: Any) -> str:
    """How many of its runs a sweep has begun, of how many."""
    planned = sweep.config.get("configurations")
    return f"{len(sweep.runs)}/{len(planned if isinstance(planned, list) else sweep.runs)}"


def _minute(moment: str) -> str:
    return moment[:16].replace("T", " ")


def _state(run: Any) -> str:
    return "finished" if run.status == "finished" else f"{run.status} at {run.step}/{_setting(run, 'steps')}"


def _setting(run: Any, name: str) -> str:
    """A setting, if it can be told: what is listed needn't be a configuration that can be run."""
    value = run.config.get(name)
    return str(value) if isinstance(value, int) else "?"


def _brief_dataset(dataset: Any) -> dict[str, Any]:
    train, test, classes = _counts(dataset)
    return {"dataset": dataset.name, "train": train, "test": test, "classes": classes,
            "shape": list(dataset.shape), "whitened": dataset.whitened}  # fmt: skip


def _brief_run(run: Any) -> dict[str, Any]:
    return {"run": run.name, "status": run.status, "step": run.step, "dataset": run.dataset,
            "ipc": run.config.get("ipc")}  # fmt: skip


def _brief_sweep(sweep: Any) -> dict[str, Any]:
    return {"sweep": sweep.name, "status": sweep.status, "dataset": sweep.dataset, "runs": list(sweep.runs)}


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A run, a data set or a sweep.")],
    store: StoreOption = DEFAULT_STORE,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Show everything known about a run, a data set or a sweep: settings, status, accuracies.

    Example: rcig show run_1
    """
    del debug
    here = context(store, json, quiet)
    document = _find(here, name)
    if json:
        here.console.data("", document)
        return
    evaluations, attacks = document.pop("evaluations", []), document.pop("attacks", [])
    table = document.pop("table", None)
    divergences = document.pop("divergences", ())
    for name in ("files", "log"):  # digests
        document.pop(name, None)
    if document["kind"] == "sweep":
        for name in ("configurations", "protocols"):  # one for each run; the runs themselves have them
            document["config"].pop(name, None)
    here.console.data("\n".join(_lines(document)), {})
    for each in divergences:
        here.console.data(describe_divergence(each) + _lowered(each, document["config"].get("algorithm")), {})
    for each in evaluations:
        here.console.data(_judged(each), {})
    for each in attacks:
        here.console.data(_attacked(each), {})
    for row in table["rows"] if table else ():
        here.console.data(_found(row), {})


def _found(row: Mapping[str, Any]) -> str:
    """One line on a row of a sweep's table."""
    settings = ", ".join(f"{name} {value}" for name, value in row["settings"].items()) or "as given"
    return f"{settings}: {accuracy(row['accuracy'], 'diverged')}"


def _lowered(divergence: Mapping[str, Any], algorithm: Any) -> str:
    """Which learning rates have been lowered since a run diverged."""
    old, new = divergence["rates"], algorithm if isinstance(algorithm, dict) else {}
    changed = [name for name in old if number.holds(new.get(name)) and new[name] < old[name]]
    lower = [f"{name} {new[name]:g}, not {old[name]:g}" for name in changed]
    return f"; since then {', '.join(lower)}" if lower else ""


def _judged(evaluation: Mapping[str, Any]) -> str:
    """One line on an evaluation: who, how, and the two accuracies."""
    protocol, random = evaluation["protocol"], evaluation["random_subset"]
    beside = f", random subset {accuracy(random)}" if random else ""
    return f"evaluated: {accuracy(evaluation['accuracy'])}{beside}  ({describe_protocol(protocol)})"


def _attacked(attack: Mapping[str, Any]) -> str:
    """One line on an attack on membership: what the MLP attack made of networks trained on each target."""
    found = ", ".join(
        f"{decimal(auc['mean'], auc.get('std'))} on the {said}"
        for auc, said in ((_mlp(attack, name), said) for name, said in TARGETS.items())
        if auc
    )
    protocol = attack["protocol"]
    return (
        f"attacked: AUC of the MLP attack {found}  "
        f"({describe_network(protocol)}, {protocol['steps'][-1]} steps, "
        f"{count_of(protocol['networks'], 'network')})"
    )


def _mlp(attack: Mapping[str, Any], target: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = attack["targets"].get(target, {}).get("auc", {}).get("mlp")
    return found


def _find(here: Context, name: str) -> dict[str, Any]:
    artifacts = here.store()
    if name.startswith("sweep_") and (artifacts.sweeps_path / name).is_dir():
        return _sweep(artifacts, name)
    if not name.startswith("run_") and not _is_imported(artifacts, name):
        return artifacts.dataset(name).to_json()
    from rcig_cli.reporting.measurements import read_measurements

    run = artifacts.run(name)
    results = {kind: read_measurements(artifacts.run_path(name), kind) for kind in ("evaluations", "attacks")}
    for problem in (each for listing in results.values() for each in listing.problems):
        here.console.warn(problem.message)
    attacks = [each for each in results["attacks"].found if "protocol" in each]  # the others add to these
    return {**run.to_json(), "evaluations": list(results["evaluations"].found), "attacks": attacks}


def _is_imported(artifacts: "Store", name: str) -> bool:
    """Whether a name that isn't numbered is that of a run; a data set comes first."""
    return not artifacts.dataset_path(name).exists() and artifacts.run_path(name).is_dir()


def _sweep(artifacts: "Store", name: str) -> dict[str, Any]:
    """A sweep's manifest, and its table once it is finished."""
    from rcig_cli.store.digests import mismatches
    from rcig_cli.store.documents import read_document
    from rcig_cli.store.layout import TABLE

    sweep, path = artifacts.sweep(name), artifacts.sweep_path(name)
    damaged = mismatches(path, sweep.files)
    if damaged:
        listed = ", ".join(f"{file} ({problem})" for file, problem in damaged.items())
        raise Corrupt(f"{name} is damaged: {listed}. Sweep again with the same file to make it anew.")
    return {**sweep.to_json(), "table": read_document(path / TABLE) if TABLE in sweep.files else None}


def _lines(document: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", *_lines(value, indent + "  ")]
        else:
            shown = value if isinstance(value, str) else json_module.dumps(value)
            lines.append(f"{indent}{key}: {shown}")
    return lines


def doctor(
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Report what this machine offers, and whether JAX computes rightly on it.

    Example: rcig doctor
    """
    del debug
    here = context(DEFAULT_STORE, json, quiet)
    here.prepare_jax()
    from rcig_cli.runs.housekeeping.doctor import examine

    findings = examine()
    here.console.data("\n".join(_lines(findings)), findings)
    if not findings["zero_derivative_is_zero"]:
        here.console.warn(
            "XLA computes wrong numbers here: a derivative that is 0 came out as something else."
        )
        raise typer.Exit(1)
