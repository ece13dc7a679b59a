"""Which run to go on with, and with what settings."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import LEARNING_RATES, DistillConfig, difference, flat
from rcig_cli.store.layout import Store
from rcig_cli.store.manifest import RunManifest


def newest_unfinished(
    store: Store, config: DistillConfig, dataset_digest: str, *, any_models: bool = False
) -> RunManifest | None:
    """Return the newest unfinished run of the same configuration and the same data, if there is one.

    With ``any_models`` it may see another number of pool models a step: where that follows from the devices
    at hand, and these are others than it began with.
    """
    for run in reversed(store.runs().found):
        same_data = run.parents["dataset"]["digest"] == dataset_digest
        unfinished = run.status in ("running", "interrupted")  # a diverged run would diverge again
        # One that diverged and went on with lower rates has not had this configuration from its first step.
        if unfinished and same_data and not run.divergences:
            theirs = DistillConfig.from_json(run.config)
            if theirs == (_with_models_of(theirs, config) if any_models else config):
                return run
    return None


def _with_models_of(theirs: DistillConfig, config: DistillConfig) -> DistillConfig:
    models, pool_size = theirs.algorithm.models, theirs.algorithm.pool_size
    return replace(config, algorithm=replace(config.algorithm, models=models, pool_size=pool_size))


def going_on(run: RunManifest, flags: Mapping[str, Any]) -> RunManifest:
    """The run as it goes on with these settings: as it is, or with lower learning rates where it diverged.

    Parameters
    ----------
    run
        The run's manifest.
    flags
        Settings that were given, by name; the others are the run's.

    Raises
    ------
    ConfigError
        If they say anything else, with what was asked for and what the run has, field by field; or if it
        was imported.
    """
    if run.imported:
        raise nothing_to_resume(run)
    has = DistillConfig.from_json(run.config)
    wanted = has.override(flags)
    differing = difference(wanted, has)
    if not differing:
        return run
    said = f"{run.name} was started with another configuration ({'; '.join(differing)})"
    if run.status != "failed":
        raise ConfigError(f"{said}: resume it without these flags, or start a new run without --resume.")
    if "sweep" in run.parents:
        raise ConfigError(f"{said}, and a run of a sweep keeps it: start a run of your own without --resume.")
    if not _only_lowers(flat(wanted), flat(has)):
        raise ConfigError(
            f"{said}: one that diverged goes on with lower learning rates ({', '.join(LEARNING_RATES)}) and "
            "nothing else changed. Resume it so, or start a new run without --resume."
        )
    return replace(run, config=wanted.to_json())


def _only_lowers(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether some settings differ from others in lower learning rates only."""
    changed = [name for name in ours if ours[name] != theirs[name]]
    return all(name in LEARNING_RATES and ours[name] < theirs[name] for name in changed)


def nothing_to_resume(run: RunManifest) -> ConfigError:
    """Say that a run was made elsewhere."""
    return ConfigError(
        f"{run.name} was imported from {run.parents['file']['name']}: there is nothing to go on with. "
        f"Distil a set of your own: rcig distill {run.dataset} --ipc {run.config['ipc']}"
    )
