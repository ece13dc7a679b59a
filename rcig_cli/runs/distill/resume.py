"""Choosing the run to resume, checking its settings, and locking it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from rcig_cli.errors import ConfigError, RcigError
from rcig_cli.extensions import load
from rcig_cli.presets.classes import chosen_classes, class_list
from rcig_cli.presets.config import DistillConfig, difference
from rcig_cli.store.locks import RunLock, Wait
from rcig_cli.store.records import RunManifest, write_manifest
from rcig_cli.store.store import Store


def newest_of(
    store: Store, config: DistillConfig, dataset_digest: str, *, any_models: bool = False
) -> RunManifest | None:
    """Return the newest run of the same configuration and the same data, an unfinished one if there is one.

    With ``any_models`` its number of pool models per step may differ: that number follows from the devices,
    and the run may have been started on others.
    """
    free = {"models", "pool_size"} if any_models else set()
    # Of runs that are alike, a finished one is better than one that would start from the beginning.
    resumable = _resumable(store, dataset_digest)
    for run in sorted(resumable, key=lambda run: run.status != "finished" and not run.step):
        theirs = {**run.config}
        ours = {**config.to_json(), **{name: theirs[name] for name in free if name in theirs}}
        if theirs == ours and _is_up_to_date(run):
            return run
    return None


def newest_with(
    store: Store,
    settings: Mapping[str, Any],
    dataset_digest: str | None = None,
    *,
    minutes: float | None = None,
) -> RunManifest | None:
    """Return the newest run that has the given settings, whatever its others, unfinished if possible.

    With a digest, only runs of this data set are considered, and with ``minutes`` only those whose other
    settings were chosen for this time.
    """
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    for run in _resumable(store, dataset_digest):
        wanted = dict(settings)
        if "classes" in settings:
            with suppress(RcigError):  # this run's data set is removed, or has no such classes
                names = store.dataset(run.dataset).class_names
                wanted["classes"] = class_list(chosen_classes(settings["classes"], names), names)
        fits = minutes in (None, _minutes_of(run))
        if fits and wanted.items() <= run.config.items() and _is_up_to_date(run):
            return run
    return None


def check_minutes(run: RunManifest, minutes: float | None) -> None:
    """Refuse to resume a run with a time for which its settings were not chosen.

    Raises
    ------
    ConfigError
        If ``minutes`` is given and is another than the one that the run was started with.
    """
    theirs = _minutes_of(run)
    if minutes is not None and minutes != theirs:
        how = "without minutes" if theirs is None else f"with minutes {theirs:g}"
        raise ConfigError(
            f"{run.name} was started {how}, and keeps its {run.config['steps']} steps. "
            "Resume it without minutes, or start a new run without resume."
        )


def _minutes_of(run: RunManifest) -> float | None:
    return run.budget["minutes"] if run.budget else None


def _resumable(store: Store, dataset_digest: str | None = None) -> Iterator[RunManifest]:
    """Yield the runs that may be resumed without being named: unfinished ones, then finished ones.

    Of both, the newest come first.  With a digest, only those of this data set.  A run that diverged would
    diverge again, and after it was resumed with lower rates it has another configuration than at first.
    """
    possible = [
        run
        for run in store.newest_runs()
        if run.status != "failed"
        and run.follows_config
        and dataset_digest in (None, run.parents["dataset"]["digest"])
    ]
    yield from sorted(possible, key=lambda run: run.status == "finished")


def _is_up_to_date(run: RunManifest) -> bool:
    """Whether a run was made with the user's own code as it is now, which is imported for this.

    An unfinished run with steps always counts: it is resumed with a warning.
    """
    if run.status != "finished" and run.step:
        return True
    for reference in run.extensions:
        with suppress(ConfigError):  # then it counts as changed
            load("method", reference)
    return run.has_current_code


def with_more_steps(run: RunManifest, settings: Mapping[str, Any]) -> DistillConfig | None:
    """Return the configuration of a run with more steps, if that is all that the given settings change.

    A run that is part of a sweep or sequence keeps its steps, and so does one that picks real images.
    """
    if run.imported or "sweep" in run.parents or "sequence" in run.parents:
        return None
    current = DistillConfig.from_json(run.config)
    if settings.get("steps", 0) <= current.steps or current.algorithm_record.pick:
        return None
    wanted = current.override(settings)
    return wanted if wanted == current.override({"steps": wanted.steps}) else None


def resumed(run: RunManifest, settings: Mapping[str, Any]) -> RunManifest:
    """Return a run as it is to be resumed: unchanged, with more steps, or with lower rates if it diverged.

    Parameters
    ----------
    run
        The run's manifest.
    settings
        Settings that were given, by name; the others are the run's.

    Raises
    ------
    ConfigError
        If other settings are given (the message lists them with their values in the run), or if the run was
        imported.
    """
    if run.imported:
        raise nothing_to_resume(run)
    current = DistillConfig.from_json(run.config)
    wanted = current.override(settings)
    differing = difference(wanted, current)
    if not differing:
        return run
    if run.status in ("running", "interrupted") and with_more_steps(run, settings) is not None:
        return replace(run, config=wanted.to_json(), replanned=True)
    problem = f"{run.name} was started with another configuration ({'; '.join(differing)})"
    if run.status != "failed":
        raise ConfigError(
            f"{problem}. Resume it without these settings, or start a new run without --resume."
        )
    for kind in ("sweep", "sequence"):
        if kind in run.parents:
            raise ConfigError(
                f"{problem}, and it is part of a {kind}, so its settings can't be changed. Start a new run "
                "without --resume."
            )
    if not _only_lowers(wanted, current):
        rates = ", ".join(current.learning_rates)
        raise ConfigError(
            f"{problem}. A run that diverged can be resumed only with lower learning rates ({rates}) and no "
            "other changes. Otherwise start a new run without --resume."
        )
    return replace(run, config=wanted.to_json())


def _only_lowers(wanted: DistillConfig, current: DistillConfig) -> bool:
    """Whether two configurations differ in nothing but lower learning rates."""
    ours, theirs, rates = wanted.to_json(), current.to_json(), current.learning_rates
    if ours.keys() != theirs.keys():  # another method or parametrization
        return False
    changed = [name for name in ours if ours[name] != theirs[name]]
    return all(name in rates and ours[name] < theirs[name] for name in changed)


def nothing_to_resume(run: RunManifest) -> ConfigError:
    """Return the error for resuming an imported run."""
    ipc = run.config["ipc"]
    return ConfigError(
        f"{run.name} was imported from {run.parents['file']['name']}, so there is nothing to resume. "
        f"To distil a new set: rcig distill {run.dataset} --ipc {ipc if isinstance(ipc, int) else max(ipc)}"
    )


@contextmanager
def locked_run(
    store: Store, run: RunManifest, settings: Mapping[str, Any], wait: Wait | None
) -> Iterator[RunManifest]:
    """Lock a run that is to be resumed, and write changed settings into its manifest.

    Yields the manifest as it is now that no other process writes it.  Errors are those of `resumed` and
    `RunLock`.
    """
    path = store.run_path(run.name)
    with RunLock(path, wait=wait):
        current = store.run(run.name)
        changed = resumed(current, settings)
        if changed != current:
            write_manifest(path, changed)
        yield changed
