"""Make room: remove artifacts, and what nobody needs any more.

Everything is planned, shown and only then done.  What is removed is first renamed, so that nothing is ever
found half removed; no link is followed, and nothing outside the store's own folders is touched.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from rcig_cli.errors import ConfigError, Locked, NotFound, RcigError
from rcig_cli.runs.report import Report
from rcig_cli.store.asides import is_plain_folder
from rcig_cli.store.checkpoint_manifest import CHECKPOINTS, steps
from rcig_cli.store.files import remove_folder
from rcig_cli.store.layout import Store
from rcig_cli.store.leftovers import PARTIAL, leftovers, remove_leftover
from rcig_cli.store.locate import Located, locate_one
from rcig_cli.store.locks import LOCK, RunLock
from rcig_cli.store.space import bytes_of

_OLD = "a checkpoint of a finished run"
_DEAD = "left behind by a process that died"
_STOPPED = "a preparation that was stopped"


@dataclass(frozen=True)
class Doomed:
    """An artifact that is to go.

    Parameters
    ----------
    artifact
        Which.
    bytes
        What its files come to.
    remark
        What the user should know before it goes, a sentence; empty if nothing.
    """

    artifact: Located
    bytes: int
    remark: str = ""


@dataclass(frozen=True)
class Garbage:
    """Something nobody needs.

    Parameters
    ----------
    path
        Where it is.
    bytes
        What its files come to.
    reason
        Why nobody needs it.
    """

    path: Path
    bytes: int
    reason: str


def plan_removal(store: Store, names: Sequence[str], *, force: bool = False) -> list[Doomed]:
    """Say what removing artifacts would come to; runs and sweeps come before their data sets.

    Parameters
    ----------
    store
        Where they are.
    names
        Which.
    force
        Whether a data set may go though something in the store was made from it.

    Raises
    ------
    ConfigError
        If nothing may have such a name, two artifacts have it, a data set is still needed, or the artifact
        isn't in the store's own folders.
    NotFound
        If nothing has it.
    Locked
        If a run or sweep that is to go, or that needs what is to go, is being written.
    """
    chosen = list(dict.fromkeys(locate_one(store, name) for name in names))
    for one in chosen:
        _check_inside(one.path.parent)
        _check_free(one)
    users = {one: _users(store, one, chosen) for one in chosen if one.kind == "data set"}
    for one, needing in users.items():
        if needing and not force:
            listed = ", ".join(user.name for user in needing)
            raise ConfigError(
                f"{one.name} is needed by {listed}: without it they can be neither judged nor continued. "
                "Remove them too, or remove it even so with --force."
            )
        for user in needing:
            _check_free(user)
    ordered = sorted(chosen, key=lambda one: one.kind == "data set")
    return [Doomed(one, bytes_of(one.path), _remark(store, one, users.get(one, []))) for one in ordered]


def remove(doomed: Doomed) -> None:
    """Remove an artifact for good.

    Raises
    ------
    NotFound
        If it is gone already.
    Locked
        If it is being written.
    RcigError
        If it can't be removed, or not all of it.
    """
    one = doomed.artifact
    with RunLock(one.path) if _may_be_written(one) else nullcontext():
        rest = remove_folder(one.path)
    if rest.exists():
        raise RcigError(
            f"{one.name} is no longer in the store, but not all of its files could be removed: {rest}. "
            "Check its permissions, then try again with `rcig gc`."
        )


def find_garbage(store: Store, *, preparations: bool = False) -> list[Garbage]:
    """Find what nobody needs: what writers that died left behind, and checkpoints of finished runs.

    Parameters
    ----------
    store
        Where to look.
    preparations
        Whether nobody needs data sets that are half prepared either.
    """
    found = [Garbage(path, bytes_of(path), _DEAD) for path in leftovers(store.root)]
    if preparations and is_plain_folder(store.datasets_path):
        halves = [path for path in sorted(store.datasets_path.glob(f"{PARTIAL}*")) if is_plain_folder(path)]
        found += [Garbage(path, bytes_of(path), _STOPPED) for path in halves]
    for run in store.runs().found:
        path = store.run_path(run.name)
        if run.status == "finished" and is_plain_folder(path) and is_plain_folder(path / CHECKPOINTS):
            folders = [path / CHECKPOINTS / str(step) for step in steps(path)]
            found += [Garbage(one, bytes_of(one), _OLD) for one in folders if not one.is_symlink()]
    return found


def collect(store: Store, garbage: Sequence[Garbage], report: Report) -> list[Garbage]:
    """Remove what `find_garbage` has found; return what is gone.

    What is needed again by now, or can't be removed, stays; the latter is told.
    """
    gone = []
    for number, one in enumerate(garbage, 1):
        try:
            if _REMOVERS[one.reason](store, one.path):
                gone.append(one)
            else:
                report.warn(f"{one.path} stays: it can't be removed, or is being written.")
        except NotFound:
            continue
        except Locked as error:
            report.warn(f"{one.path} stays: {error}")
        report.progress("removing", number, len(garbage))
    return gone


def _remove_checkpoint(store: Store, path: Path) -> bool:
    run = path.parent.parent
    with RunLock(run):
        if store.run(run.name).status != "finished":
            return False
        return not remove_folder(path).exists()


def _remove_preparation(_: Store, path: Path) -> bool:
    with RunLock(path):
        return not remove_folder(path).exists()


_REMOVERS: dict[str, Callable[[Store, Path], bool]] = {
    _DEAD: lambda _, path: remove_leftover(path),
    _OLD: _remove_checkpoint,
    _STOPPED: _remove_preparation,
}


def _users(store: Store, dataset: Located, chosen: Sequence[Located]) -> list[Located]:
    """The runs and sweeps that were made from a data set, but for those that go as well."""
    runs = [
        Located("run", r.name, store.run_path(r.name))
        for r in store.runs().found
        if r.dataset == dataset.name
    ]
    sweeps = [
        Located("sweep", s.name, store.sweep_path(s.name))
        for s in store.sweeps().found
        if s.dataset == dataset.name
    ]
    return [one for one in (*runs, *sweeps) if one not in chosen]


def _remark(store: Store, one: Located, users: Sequence[Located]) -> str:
    if one.path.is_symlink():
        return "It is a link: what it leads to stays."
    if users:
        return f"Needed by {', '.join(user.name for user in users)}."
    if one.kind == "sweep":
        return "Its runs stay."
    sweeps = [s.name for s in store.sweeps().found if one.kind == "run" and one.name in s.runs]
    return f"Part of {', '.join(sweeps)}." if sweeps else ""


def _check_inside(place: Path) -> None:
    if place.is_symlink():
        raise ConfigError(
            f"{place} is a link, and nothing outside the store is removed: "
            "name the store it leads to with --store."
        )


def _check_free(one: Located) -> None:
    """Raise `Locked` if a run or a sweep is being written."""
    if _may_be_written(one) and os.path.lexists(one.path / LOCK):
        RunLock(one.path).release()


def _may_be_written(one: Located) -> bool:
    return one.kind != "data set" and is_plain_folder(one.path)
