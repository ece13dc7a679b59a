"""The commands that make a run, as a user would type them: from what its manifest records.

Of a distillation only the settings are given that don't follow from the others.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.evaluate.protocol import evaluation_protocol
from rcig_cli.runs.membership.protocol import attack_protocol
from rcig_cli.runs.prepare.config import PrepareConfig
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.settings import values_of
from rcig_cli.store.records import RunManifest

# Settings whose flag is not simply their name.
_FLAGS = {
    "architecture": "arch",
    "normalization": "norm",
    "path": "from",
}
# From these others follow, so they are looked at first.
_FIRST = ("algorithm", "solver", "depth", "models")


def commands_of(
    distilled: DistilledSet, evaluations: Iterable[Mapping[str, Any]], attacks: Iterable[Mapping[str, Any]]
) -> list[str]:
    """Return the commands that reproduce a run and its evaluations and attacks, in their order."""
    run, prepared = distilled.run, distilled.prepared
    made = [import_command(run)] if run.imported else distill_commands(prepared, run, distilled.config)
    return [
        prepare_command(prepared),
        *made,
        *dict.fromkeys(evaluate_command(distilled, each) for each in evaluations),
        *dict.fromkeys(attack_command(distilled, each) for each in attacks),
    ]


def prepare_command(prepared: Prepared) -> str:
    """How the data set was prepared; of the user's own data only the file's name is told."""
    made = prepared.manifest.config
    usual = {"path": None, **values_of(PrepareConfig())}
    given = {name: made[name] for name, value in usual.items() if name in made and made[name] != value}
    if given.get("path"):
        given["path"] = Path(given["path"]).name
    return _command("prepare", prepared.manifest.name, given)


def distill_command(prepared: Prepared, config: DistillConfig) -> str:
    """How a run of this configuration is begun."""
    return _command("distill", config.dataset, {"ipc": config.ipc, **needed_settings(prepared, config)})


def distill_commands(prepared: Prepared, run: RunManifest, config: DistillConfig) -> list[str]:
    """How a run was distilled: the line that began it, and each that went on with lower rates."""
    last = {name: config.to_json()[name] for name in config.algorithm_record.learning_rates}
    rates = [*(each["rates"] for each in run.divergences), last]
    begun = distill_command(prepared, config.override(rates[0]))
    changes = (
        {name: rate for name, rate in new.items() if rate != old.get(name)} for old, new in pairwise(rates)
    )
    return [begun, *(shlex.join(["rcig", "distill", "--resume", run.name, *words_of(c)]) for c in changes)]


def needed_settings(prepared: Prepared, config: DistillConfig) -> dict[str, Any]:
    """Which settings have to be given, beside data set and images per class, to come to a configuration."""
    wanted, chosen = config.to_json(), {"ipc": config.ipc}
    order = sorted(wanted, key=lambda name: name not in _FIRST)
    try:
        while True:
            found = resolved(prepared, chosen).to_json()
            differing = [name for name in order if found.get(name) != wanted[name] and name not in chosen]
            if not differing:
                break
            chosen[differing[0]] = wanted[differing[0]]
    except ConfigError:  # half of the settings don't go with the other half's defaults
        found = resolved(prepared, {"ipc": config.ipc, "algorithm": config.algorithm}).to_json()
        chosen = {name: wanted[name] for name in order if found.get(name) != wanted[name]}
    return {name: value for name, value in chosen.items() if name != "ipc"}


def import_command(run: RunManifest) -> str:
    """How a run was imported; of the file only its name is told."""
    return _command("import", run.parents["file"]["name"], {"dataset": run.dataset, "name": run.name})


def evaluate_command(distilled: DistilledSet, evaluation: Mapping[str, Any]) -> str:
    """How an evaluation was made."""
    protocol, images = evaluation["protocol"], len(distilled.images)
    given = _unusual(
        protocol, lambda **some: values_of(evaluation_protocol(distilled.config, images, **some))
    )
    if given.get("warmup") == min(500, protocol["steps"] // 2):
        del given["warmup"]
    if evaluation.get("random_subset") is None:
        given["baseline"] = "none"
    return _command("evaluate", distilled.run.name, given)


def attack_command(distilled: DistilledSet, attack: Mapping[str, Any]) -> str:
    """How an attack on membership was made."""
    protocol = attack.get("protocol", {})
    given = _unusual(protocol, lambda **some: attack_protocol(distilled.config, **some).to_json())
    lira = {"lira": True} if given.get("shadows") else {}
    return _command("mia", distilled.run.name, {**given, **lira})


def _unusual(protocol: Mapping[str, Any], default: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Which settings have to be given to come to a protocol."""
    plain = {**default(arch=protocol.get("arch", "convnet")), "arch": "convnet"}
    return {name: protocol[name] for name in plain if name in protocol and protocol[name] != plain[name]}


def _command(verb: str, what: str, given: Mapping[str, Any]) -> str:
    return shlex.join(["rcig", verb, what, *words_of(given)])


def words_of(settings: Mapping[str, Any]) -> list[str]:
    """Settings as they are given to a command: ``["--image-lr", "0.001"]``."""
    return [word for name, value in settings.items() for word in _words(name, value)]


def _words(name: str, value: Any) -> list[str]:
    flag = _FLAGS.get(name, name.replace("_", "-"))
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, list):
        return [word for each in value for word in _words(name, each)]
    return [f"--{flag}", str(value)]
