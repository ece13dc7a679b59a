"""The shortest commands that reproduce a run, from its records in the store."""

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rcig_cli.data.sources.opening import is_path
from rcig_cli.distillation.methods import METHODS
from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig, declared_settings, is_for_gpus
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.evaluate.protocol import FULL_EPOCHS, evaluation_protocol
from rcig_cli.runs.membership.protocol import AttackProtocol, attack_protocol
from rcig_cli.runs.prepare.config import PrepareConfig
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.settings import settings_of, values_of
from rcig_cli.store.names import number_of
from rcig_cli.store.records import RunManifest

Values = Mapping[str, Any]


def commands_of(
    distilled: DistilledSet, evaluations: Iterable[Values], attacks: Iterable[Values]
) -> list[str]:
    """Return the commands that reproduce a run and its evaluations and attacks, in order."""
    run, prepared = distilled.run, distilled.prepared
    made = [import_command(run)] if run.imported else distill_commands(prepared, run, distilled.config)
    return [
        prepare_command(prepared),
        *made,
        *dict.fromkeys(evaluate_command(distilled, each) for each in evaluations),
        *dict.fromkeys(attack_command(distilled, each) for each in attacks),
    ]


def prepare_command(prepared: Prepared) -> str:
    """Return the command that prepared a data set, with only the last part of each path."""
    made = prepared.manifest.config
    defaults = values_of(PrepareConfig())
    given = {name: value for name, value in made.items() if name in defaults and value != defaults[name]}
    origin = made.get("origin")
    source = {} if origin is None else {"from": Path(origin).name if is_path(origin) else origin}
    if given.get("labels"):  # a file, or the name of a column
        given["labels"] = Path(given["labels"]).name
    return _command("prepare", prepared.manifest.name, **source, **given)


def import_command(run: RunManifest) -> str:
    """Return the command that imported a run, with only the last part of the file's path."""
    assert run.imported_as is not None
    given = run.imported_as["options"]
    names = {} if given["class_names"] is None else {"class_names": "FILE"}
    options = {**given, **names, "dataset": run.dataset, "name": run.name}
    return _command("import", run.parents["file"]["name"], **options)


def distill_command(prepared: Prepared, config: DistillConfig, *, name: str | None = None) -> str:
    """Return the command that starts a run of a configuration, with a name if one was chosen."""
    ipc, chosen = _ipc_options(config.ipc, prepared.class_names), chosen_settings(prepared, config)
    if is_for_gpus(config, chosen) and config.steps:  # on a CPU other settings would be chosen
        chosen["steps"] = config.steps
    return _command("distill", config.dataset, ipc=ipc, **_with_own(chosen), name=name)


def distill_commands(prepared: Prepared, run: RunManifest, config: DistillConfig) -> list[str]:
    """Return the command that started a run, and those that continued it.

    It may have been continued with more steps when it was finished, and with lower rates after it diverged.
    """
    rates = [*(each["rates"] for each in run.divergences), config.to_json()]
    lowered = [
        {name: new[name] for name, rate in old.items() if rate != new[name]} for old, new in pairwise(rates)
    ]
    method = {} if config.algorithm in METHODS else {"algorithm": config.algorithm}  # which has the rates
    first, before = config.override(rates[0]), None
    if run.continues is not None:
        before = run.continues["run"]
        first = first.override({"steps": run.continues["step"]})
    longer = {"steps": config.steps, "name": _chosen_name(run.name)}
    return [
        distill_command(prepared, first, name=_chosen_name(before or run.name)),
        *([_command("distill", "--resume", before, **longer)] if before else []),
        *(_command("distill", "--resume", run.name, **_with_own({**method, **each})) for each in lowered),
    ]


def _chosen_name(run: str) -> str | None:
    """Return the name of a run if the user chose it, and None for ``run_7``."""
    return None if number_of("run", run) else run


def _with_own(settings: Values) -> dict[str, Any]:
    """Return settings as options of distill, with ``--set`` for those of a method of the user's own."""
    declared = declared_settings()
    known = {name: value for name, value in settings.items() if name in declared}
    own = [f"{n}={json.dumps(v)}" for n, v in settings.items() if n not in declared and v is not None]
    return {**known, "set": own}


def chosen_settings(prepared: Prepared, config: DistillConfig) -> dict[str, Any]:
    """Return the settings from which, with data set and images per class, all others of a run follow."""
    known = {"ipc": config.ipc, "classes": config.classes}
    if config.is_unread:  # the defaults of its method are not known
        chosen = config.to_json()
    else:
        chosen = _chosen(config.to_json(), lambda some: resolved(prepared, {**known, **some}).to_json())
    classes = {} if config.classes is None else {"classes": config.classes}
    return classes | {name: value for name, value in chosen.items() if name not in ("dataset", "ipc")}


def _ipc_options(ipc: int | Sequence[int], class_names: Sequence[str]) -> int | list[str]:
    """Return the values of ``--ipc``: the most frequent number, and the classes that have another."""
    if isinstance(ipc, int):
        return ipc
    usual = Counter(ipc).most_common(1)[0][0]
    others = [f"{name}={count}" for name, count in zip(class_names, ipc, strict=True) if count != usual]
    return [str(usual), *others]


def evaluate_command(distilled: DistilledSet, evaluation: Values) -> str:
    """Return the command that made an evaluation."""
    config, images = distilled.config, len(distilled.images)
    wanted = dict(evaluation["protocol"])
    named = {"protocol": wanted.pop("protocol")} if "protocol" in wanted else {}  # others follow from it
    given = _chosen({**named, **wanted}, lambda some: evaluation_protocol(config, images, **some).to_json())
    baseline = {} if evaluation.get("random_subset") else {"baseline": "none"}
    epochs = evaluation.get("full_epochs")
    more = {"scores": True} if evaluation.get("scores") else {"full_data": True} if epochs else {}
    more |= {} if epochs in (None, FULL_EPOCHS) else {"full_epochs": epochs}
    return _command("evaluate", distilled.run.name, **given, **baseline, **more)


def attack_command(distilled: DistilledSet, attack: Values) -> str:
    """Return the command that made a membership inference attack.

    The other runs are named if LiRA needed them: its results are the only ones that depend on other runs.
    """
    known = {*settings_of(AttackProtocol), "steps"}  # the stored protocol also has counts of examples
    protocol = {name: value for name, value in attack["protocol"].items() if name in known}
    given = _chosen(protocol, lambda some: attack_protocol(distilled.config, **some).to_json())
    lira = {"lira": True} if given.get("shadows") else {"shadows": None}
    return _command("mia", distilled.run.name, *attack.get("compared_with", ()), **(given | lira))


def options_of(settings: Values) -> list[str]:
    """Return settings as options on a command line: ``["--image-lr", "0.001"]``."""
    words = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            for each in value if isinstance(value, list) else [value]:
                words += [f"--{option}", str(each)]
    return words


def _chosen(wanted: Values, complete: Callable[[dict[str, Any]], Values]) -> dict[str, Any]:
    """Return a few of the settings ``wanted``, from which ``complete`` computes all of them.

    They are chosen in their order, so settings from which others follow must come first.
    """
    chosen: dict[str, Any] = {}
    try:
        while True:
            found = complete(chosen)
            missing = [name for name in wanted if found.get(name) != wanted[name] and name not in chosen]
            if not missing:
                return chosen
            chosen[missing[0]] = wanted[missing[0]]
    except ConfigError:  # some of the settings are not allowed with the defaults of others
        return dict(wanted)


def _command(*words: str, **options: Any) -> str:
    return shlex.join(["rcig", *words, *options_of(options)])
