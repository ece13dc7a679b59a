"""Which run to go on with."""

from dataclasses import replace

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig, difference
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
        if unfinished and same_data:
            theirs = DistillConfig.from_json(run.config)
            if theirs == (_with_models_of(theirs, config) if any_models else config):
                return run
    return None


def _with_models_of(theirs: DistillConfig, config: DistillConfig) -> DistillConfig:
    models, pool_size = theirs.algorithm.models, theirs.algorithm.pool_size
    return replace(config, algorithm=replace(config.algorithm, models=models, pool_size=pool_size))


def check_same(run: RunManifest, config: DistillConfig) -> None:
    """Refuse to go on with a run of another configuration.

    Raises
    ------
    ConfigError
        With what was asked for and what the run has, field by field.
    """
    differing = difference(config, DistillConfig.from_json(run.config))
    if differing:
        raise ConfigError(
            f"{run.name} was started with another configuration ({'; '.join(differing)}): resume it without "
            "these flags, or start a new run without --resume."
        )
