"""Remove data sets, runs, sweeps and sequences: plan it, show the plan, then remove.

A folder is renamed before it is deleted, so that a reader, or a crash, never finds a part of an artifact.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from rcig_cli.errors import ConfigError
from rcig_cli.store.files import bytes_of, remove_folder
from rcig_cli.store.locks import LOCK, RunLock
from rcig_cli.store.records import GroupManifest, RunManifest
from rcig_cli.store.store import Artifact, Store


@dataclass(frozen=True)
class Removal:
    """An artifact that will be removed, its size, and a sentence for the user to read first (or "")."""

    artifact: Artifact
    bytes: int
    remark: str = ""


def plan_removal(store: Store, names: Sequence[str], *, force: bool = False) -> list[Removal]:
    """Plan the removal of artifacts; data sets come last.

    With ``force`` a data set may be removed although runs, sweeps or sequences in the store need it.

    Raises
    ------
    ConfigError
        If no artifact may have such a name, two artifacts have it, or a data set is still needed.
    NotFound
        If no artifact has it.
    Locked
        If one is being written that will be removed, or whose data set will be removed.
    """
    chosen = list(dict.fromkeys(store.locate(name) for name in names))
    users = {one: _users(store, one, chosen) for one in chosen if one.kind == "data set"}
    for one, needing in users.items():
        if needing and not force:
            listed = ", ".join(user.name for user in needing)
            raise ConfigError(
                f"{one.name} is needed by {listed}. These runs need it to be evaluated or resumed; "
                "use --force to delete it anyway."
            )
    for one in (*chosen, *(user for needing in users.values() for user in needing)):
        if one.kind != "data set" and (one.path / LOCK).exists():
            RunLock(one.path).release()
    ordered = sorted(chosen, key=lambda one: one.kind == "data set")
    return [Removal(one, bytes_of(one.path), _remark(store, one, users.get(one, []))) for one in ordered]


def remove(store: Store, removal: Removal) -> None:
    """Remove an artifact permanently; a numbered name is not given again.

    Raises
    ------
    NotFound
        If it doesn't exist any more.
    Locked
        If it is being written.
    RcigError
        If it can't be removed.
    """
    one = removal.artifact
    with RunLock(one.path) if one.kind != "data set" and one.path.is_dir() else nullcontext():
        remove_folder(one.path)
        store.note_removal(one.kind, one.name)  # last, because it needs space on the disk


def _users(store: Store, dataset: Artifact, chosen: Sequence[Artifact]) -> list[Artifact]:
    """Return what was made from a data set, without that which will be removed too."""
    made: list[RunManifest | GroupManifest] = [*store.runs().found, *store.groups().found]
    users = [
        Artifact(each.kind, each.name, store.folder_of(each.kind) / each.name)
        for each in made
        if dataset.name in (each.parents if each.kind != "run" else (each.dataset,))
    ]
    return [one for one in users if one not in chosen]


def _remark(store: Store, one: Artifact, users: Sequence[Artifact]) -> str:
    if users:
        return f"Needed by {', '.join(user.name for user in users)}."
    if one.kind in ("sweep", "sequence"):
        return "Its runs are kept."
    groups = store.groups().found if one.kind == "run" else ()
    named = [group.name for group in groups if one.name in group.runs]
    return f"Part of {', '.join(named)}." if named else ""
