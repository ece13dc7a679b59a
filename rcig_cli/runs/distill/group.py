"""Runs that belong together: those of a sweep, or of a sequence of tasks.

The runs hold the results, so what was stopped is resumed from them.  Finished runs of the store that would
give the same result are used instead of new ones.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rcig_cli.errors import listed
from rcig_cli.runs.engine.environment import machine
from rcig_cli.runs.report import Report
from rcig_cli.store.locks import RunLock
from rcig_cli.store.names import GroupKind
from rcig_cli.store.records import (
    GroupManifest,
    Parent,
    RunManifest,
    now,
    read_manifest,
    versions,
    write_manifest,
)
from rcig_cli.store.store import Store


def find_newest(
    store: Store,
    kind: GroupKind,
    config: Mapping[str, Any],
    parents: Mapping[str, Parent],
    *,
    compared: Iterable[str],
) -> GroupManifest | None:
    """Return the newest sweep or sequence of the same parents and configuration; see `find_or_create`."""
    keys = tuple(compared)
    for found in reversed(store.groups(kind).found):
        if found.parents == parents and all(found.config.get(key) == config[key] for key in keys):
            return found
    return None


def find_or_create(
    store: Store,
    kind: GroupKind,
    config: Mapping[str, Any],
    parents: Mapping[str, Parent],
    *,
    compared: Iterable[str],
    new: bool = False,
) -> tuple[GroupManifest, RunLock]:
    """Return the newest sweep or sequence of the same parents and configuration, or a new one, locked.

    Parameters
    ----------
    store
        Where it is.
    kind
        ``"sweep"`` or ``"sequence"``.
    config, parents
        Of the manifest; the parents are its data sets.
    compared
        The keys of the configuration that must be equal.
    new
        Whether to create one in any case.

    Raises
    ------
    Locked
        If another process is writing it.
    """
    found = None if new else find_newest(store, kind, config, parents, compared=compared)
    if found is not None:
        path = store.folder_of(found.kind) / found.name
        lock = RunLock(path)
        return read_manifest(path, GroupManifest), lock

    def manifest(name: str) -> GroupManifest:
        return GroupManifest(
            kind=kind,
            name=name,
            created=now(),
            updated=now(),
            status="running",
            config=dict(config),
            dataset=", ".join(parent["name"] for parent in parents.values()),
            parents=dict(parents),
            runs=(),
            versions=versions(),
            files={},
        )

    return store.create(kind, manifest)


def usable_runs(
    runs: Iterable[RunManifest],
    kind: str,
    data: Collection[Parent],
    groups: Sequence[Parent],
    *,
    finished: bool,
) -> list[RunManifest]:
    """Return the runs of some data sets that a sweep or sequence takes instead of new ones.

    Parameters
    ----------
    runs
        Those of the store.
    kind
        ``"sweep"`` or ``"sequence"``.
    data
        The data sets.
    groups
        The sweeps or sequences whose runs are taken, in any state, unless the user's own code that they use
        has changed.  Those of the last one come last.
    finished
        Whether to take the finished runs of others too, if they give the same result here.
    """
    found = [run for run in runs if run.parents["dataset"] in data]
    usable = [run for run in found if finished and _is_finished_here(run)]
    for group in groups:
        usable += [run for run in found if run.parents.get(kind) == group and run.has_current_code]
    return usable


class RunGroup:
    """The runs of a sweep or sequence, whose lock the caller holds.

    Parameters
    ----------
    store
        Where they are.
    manifest
        The sweep or sequence.
    keys
        What identifies each of its runs, in their order.
    keys_of
        Returns the keys that a run of the store is right for.
    relatives
        Other sweeps whose runs are used like its own: the parts of the same sweep.
    new
        Whether finished runs of others aren't used.

    Attributes
    ----------
    names
        The names of the runs that exist, by key.
    elsewhere
        Finished runs of missing keys that are not used, since their results may differ: they were made with
        other versions, on another machine, or with code of the user's own that has changed.
    """

    def __init__(
        self,
        store: Store,
        manifest: GroupManifest,
        keys: Sequence[str],
        keys_of: Callable[[RunManifest], Iterable[str]],
        *,
        relatives: Sequence[Parent] = (),
        new: bool = False,
    ) -> None:
        self.store: Store = store
        self.manifest: GroupManifest = manifest
        self.keys: Sequence[str] = keys
        self.names: dict[str, str] = {}
        groups, runs = [*relatives, manifest.as_parent], store.runs().found
        for run in usable_runs(runs, manifest.kind, manifest.parents.values(), groups, finished=not new):
            self.names |= {key: run.name for key in keys_of(run) if key in keys}
        missing = set(keys) - set(self.names)
        self.elsewhere: list[str] = [
            run.name
            for run in ([] if new else runs)
            if run.parents["dataset"] in manifest.parents.values()
            and run.status == "finished"
            and run.follows_config
            and missing & set(keys_of(run))
        ]

    def record(self, **changes: Any) -> None:
        """Write changes, and the names of the runs, into the manifest."""
        runs = tuple(self.names[key] for key in self.keys if key in self.names)
        self.manifest = replace(self.manifest, updated=now(), runs=runs, **changes)
        write_manifest(self.store.folder_of(self.manifest.kind) / self.manifest.name, self.manifest)

    def tell_of_runs_elsewhere(self, report: Report) -> None:
        """Say which finished runs of the same settings are not used, if there are any."""
        if self.elsewhere:
            report.note(
                "Not used, since they were made with other versions, on another machine or with code of your "
                f"own that has changed: {listed(self.elsewhere)}."
            )

    def open_or_create(
        self, key: str, create: Callable[[], tuple[RunManifest, RunLock]]
    ) -> tuple[RunManifest, RunLock]:
        """Return the run of a key, which ``create`` makes if it doesn't exist, and its lock.

        Raises
        ------
        Locked
            If another process is writing it.
        """
        if key in self.names:
            run = self.store.run(self.names[key])
            return run, RunLock(self.store.run_path(run.name))
        run, lock = create()
        self.names[key] = run.name
        self.record()
        return run, lock


def _is_finished_here(run: RunManifest) -> bool:
    """Whether a run is finished by its settings, with the same versions and code, on the same machine."""
    same_place = run.versions == versions() and run.machine == machine()
    return run.status == "finished" and run.follows_config and same_place and run.has_current_code
