"""Find and remove what is no longer needed: old checkpoints of finished runs, and temporary files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rcig_cli.errors import NotFound, RcigError
from rcig_cli.runs.report import Report
from rcig_cli.store.checkpoints import CHECKPOINTS, steps
from rcig_cli.store.files import PARTIAL, abandoned, bytes_of, remove_abandoned, remove_folder
from rcig_cli.store.locks import RunLock
from rcig_cli.store.store import Store

_CHECKPOINT = "checkpoint of a finished run"
_TEMPORARY = "left by a crashed process"
_PREPARATION = "stopped preparation"


@dataclass(frozen=True)
class Garbage:
    """A file or folder that is no longer needed, its size, and why."""

    path: Path
    bytes: int
    reason: str


def find_garbage(store: Store, *, checkpoints: bool = False, preparations: bool = False) -> list[Garbage]:
    """Find temporary files of crashed processes, and checkpoints of finished runs but the last of each.

    On request also ``checkpoints``, the last ones, from which finished runs could be continued, and
    ``preparations`` that were stopped, which could be resumed.
    """
    found = [(path, _TEMPORARY) for path in abandoned(store.root)]
    if preparations:
        found += [(path, _PREPARATION) for path in sorted(store.folder_of("data set").glob(f"{PARTIAL}*"))]
    for run in store.runs().found:
        if run.status == "finished":
            path = store.run_path(run.name)
            old = steps(path) if checkpoints else steps(path)[:-1]
            found += [(path / CHECKPOINTS / str(step), _CHECKPOINT) for step in old]
    return [Garbage(path, bytes_of(path), reason) for path, reason in found]


def remove_garbage(store: Store, garbage: Sequence[Garbage], report: Report) -> list[Garbage]:
    """Remove what `find_garbage` has found; return what was removed.

    A warning names each file or folder that is in use by now, or can't be removed.
    """
    removed = []
    for number, one in enumerate(garbage, 1):
        try:
            _remove(store, one)
        except NotFound:
            continue
        except RcigError as error:  # it is in use, or can't be renamed
            report.warn(f"{one.path} was kept: {error}")
        else:
            if one.path.exists():
                report.warn(f"{one.path} was kept: it can't be removed, or a process is writing it.")
            else:
                removed.append(one)
        report.progress("removing", number, len(garbage))
    return removed


def _remove(store: Store, one: Garbage) -> None:
    if one.reason == _TEMPORARY:
        remove_abandoned(one.path)
    elif one.reason == _PREPARATION:
        with RunLock(one.path):
            remove_folder(one.path)
    else:
        run = one.path.parent.parent
        with RunLock(run):
            if store.run(run.name).status == "finished":
                remove_folder(one.path)
