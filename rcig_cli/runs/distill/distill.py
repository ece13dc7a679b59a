"""Distil a data set: the run, its checkpoints, its end.

A run is created at once with its whole configuration, then goes step by step.  Whatever ends it, the newest
checkpoint stands, and a resumed run gives byte for byte what an uninterrupted one gives (on a CPU).
"""

from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.errors import ConfigError, Interrupted, NumericsError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.configuration import distilling_network
from rcig_cli.runs.distill.distilled import write_distilled
from rcig_cli.runs.distill.divergence import Diverged
from rcig_cli.runs.distill.running import Running, Surroundings
from rcig_cli.runs.distill.snapshots import SNAPSHOTS
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.runs.signals import stop_on_signals
from rcig_cli.store.digests import digests
from rcig_cli.store.layout import Store
from rcig_cli.store.locks import RunLock
from rcig_cli.store.manifest import RunManifest, SweepManifest
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.provenance import now, versions

METRICS = "metrics.jsonl"


def start_run(
    store: Store, prepared: Prepared, config: DistillConfig, sweep: SweepManifest | None = None
) -> tuple[RunManifest, RunLock]:
    """Create a run, locked for this process; where it is one of a ``sweep``, that is its parent too.

    Raises
    ------
    ConfigError
        If there can't be such a run: more images per class than a class has.
    """
    check_possible(prepared, config)
    parents = {"dataset": prepared.manifest.as_parent}
    if sweep is not None:
        parents["sweep"] = sweep.as_parent

    def manifest(name: str) -> RunManifest:
        return RunManifest(
            name=name,
            created=now(),
            updated=now(),
            status="running",
            step=0,
            config=config.to_json(),
            seed=config.seed,
            dataset=config.dataset,
            parents=parents,
            versions=versions(),
            files={},
        )

    name, lock = store.create_run(manifest)
    return store.run(name), lock


def check_possible(prepared: Prepared, config: DistillConfig) -> None:
    """Refuse what the data set can't give."""
    counts = np.bincount(prepared.labels("train"), minlength=prepared.classes)
    fewest = int(np.argmin(counts))
    if config.ipc > counts[fewest]:
        raise ConfigError(
            f"--ipc {config.ipc} is more than there is: class {prepared.manifest.class_names[fewest]!r} of "
            f"{config.dataset} has {counts[fewest]} training images."
        )
    distilling_network(prepared, config)


def run(path: Path, manifest: RunManifest, prepared: Prepared, around: Surroundings) -> RunManifest:
    """Go on with a run from its newest checkpoint, or from the start, to its end.

    Parameters
    ----------
    path
        The run's folder; the caller holds its lock.
    manifest
        The run's manifest.
    prepared
        The data set it is distilled from.
    around
        What it works with.

    Returns
    -------
    RunManifest
        The finished run's.

    Raises
    ------
    ConfigError
        If it would not fit in memory.
    Interrupted
        If a signal stopped it, after a checkpoint.
    Diverged
        If numbers are no longer finite; the last good checkpoint stands.
    NumericsError
        If the product isn't finite, though the state is.
    """
    with stop_on_signals() as stop, MetricsLog(path / METRICS) as metrics:
        if manifest.versions != versions():
            around.report.warn("Other library versions than this run began with: the last digits may differ.")
        one = Running(path, manifest, prepared, around, stop, metrics)
        # What changes from here on is vouched for again at the next checkpoint, or at the end.
        one.record(status="running", files={}, log=None)
        try:
            one.restore_or_begin()
            one.go()
            arrays = one.product()
            files = write_distilled(path, arrays) | digests(path, SNAPSHOTS) if one.writes else {}
        except (Interrupted, ConfigError):
            one.record(status="interrupted", step=one.step, **_kept(one))
            raise
        except NumericsError as error:
            told = (error.record,) if isinstance(error, Diverged) else ()
            divergences = (*one.manifest.divergences, *told)
            one.record(status="failed", step=one.saved, divergences=divergences, **_kept(one))
            raise
        return one.record(status="finished", step=one.step, files=files, log=one.log())


def _kept(one: Running) -> dict[str, Any]:
    """What the manifest of a run that ends before its time vouches for."""
    there = one.writes and (one.path / SNAPSHOTS).is_dir()
    return {"files": digests(one.path, SNAPSHOTS) if there else {}, "log": one.log()}
