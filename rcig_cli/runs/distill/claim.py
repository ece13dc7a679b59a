"""Hold the run to distil, a new one or one to go on with, so that no other process writes it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rcig_cli.runs.configuration import resolved
from rcig_cli.runs.distill.distill import start_run
from rcig_cli.runs.distill.resume import going_on, newest_unfinished
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.store.layout import Store
from rcig_cli.store.locks import RunLock
from rcig_cli.store.manifest import RunManifest, write_manifest


@contextmanager
def claim_run(
    store: Store, run: RunManifest, flags: Mapping[str, Any], wait: Callable[[str], None] | None
) -> Iterator[tuple[RunManifest, bool]]:
    """Hold the lock of a run to go on with.

    Parameters
    ----------
    store, run
        The run's store, and its manifest as it was.
    flags
        Settings that were given; see `going_on`.
    wait
        Whom to tell that another process writes the run, and that we wait for it; None not to wait.

    Yields
    ------
    RunManifest, bool
        As it is now that no other process writes it, and False: it is not new.

    Raises
    ------
    ConfigError
        If the settings are others than the run's.
    Locked
        If another process writes it.
    """
    path = store.run_path(run.name)
    with RunLock(path, wait=wait):
        run = store.run(run.name)
        changed = going_on(run, flags)
        if changed != run:
            write_manifest(path, changed)
        yield changed, False


@contextmanager
def claim_of(
    store: Store,
    prepared: Prepared,
    settings: Mapping[str, Any],
    of_devices: Mapping[str, Any],
    *,
    resume: bool,
    wait: Callable[[str], None] | None,
) -> Iterator[tuple[RunManifest, bool]]:
    """Hold the lock of a new run of these settings or, to ``resume``, of the newest unfinished one there is.

    Parameters
    ----------
    store, prepared
        Where, and of which data set.
    settings, of_devices
        As given; and those of a new run that follow from the devices at hand.
    resume, wait
        Whether to go on with an unfinished one; and whom to tell that we wait for it, None not to wait.

    Yields
    ------
    RunManifest, bool
        The run, and whether it is new.
    """
    config = resolved(prepared, {**of_devices, **settings})
    digest, free = prepared.manifest.digest, "models" not in settings
    found = newest_unfinished(store, config, digest, any_models=free) if resume else None
    if found is not None:
        with claim_run(store, found, {}, wait) as claimed:
            yield claimed
        return
    run, lock = start_run(store, prepared, config)
    with lock:
        yield run, True
