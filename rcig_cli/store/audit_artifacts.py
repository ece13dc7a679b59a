"""What each kind of artifact consists of, and who vouches for it: see ``docs/store-format.md``."""

import hashlib
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt, NotFound, RcigError
from rcig_cli.store import names
from rcig_cli.store.asides import is_plain_folder
from rcig_cli.store.audit import Look, phrase, settled
from rcig_cli.store.checkpoint_manifest import CHECKPOINTS, check_checkpoint, is_step
from rcig_cli.store.documents import parse
from rcig_cli.store.files import storage_errors
from rcig_cli.store.layout import STORE, TABLE, Store
from rcig_cli.store.leftovers import PARTIAL
from rcig_cli.store.locks import LOCK
from rcig_cli.store.manifest import (
    MANIFEST,
    DatasetManifest,
    RunManifest,
    SweepManifest,
    read_dataset_manifest,
)
from rcig_cli.store.metrics import MAX_BYTES as LARGEST_LOG
from rcig_cli.store.plain import read_plain
from rcig_cli.store.results import KINDS

LOG = "metrics.jsonl"
FIGURES = "figures"

_PRODUCTS = {"distilled.zarr", "snapshots.zarr"}
_RESULT = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[A-Za-z0-9][A-Za-z0-9_.-]*\.json")
_UNFINISHED = "isn't vouched for until its run or sweep has ended"


def look_at_store(look: Look, store: Store) -> bool:
    """Look at what the store says of itself; return whether this version can read the rest."""
    look.document(store.root / STORE, "store", lambda document: document)
    return not any("newer rcig" in one.problem for one in look.problems)


def look_at_places(look: Look, store: Store) -> None:
    """Look at what lies in the store's own folder, and under wrong names in those below."""
    places = {"datasets": names.is_dataset_name, "runs": names.is_run_name, "sweeps": names.is_sweep_name}
    for path in look.entries(store.root):
        if path.name in places:
            if look.is_plain(path, folder=True):
                _look_at_place(look, path, places[path.name])
        elif path.name != STORE:
            look.orphan(path)


def _look_at_place(look: Look, place: Path, is_name: Callable[[str], bool]) -> None:
    for path in look.entries(place):
        if path.name.startswith(PARTIAL) and is_plain_folder(path):
            look.note(path, "is being prepared, or was: `rcig prepare` goes on with it")
        elif not is_name(path.name) or not path.is_dir():
            look.orphan(path)
        elif path.is_symlink():
            look.note(path, "is a link: what it leads to is looked at as if it lay here")


def look_at_dataset(look: Look, store: Store, name: str) -> None:
    """Look at a data set."""
    folder = store.dataset_path(name)

    def examine(one: Look) -> None:
        manifest = _manifest(one, folder, "dataset", DatasetManifest)
        _look_at_parts(one, folder, manifest, set())

    settled(look, folder, examine)


def look_at_sweep(look: Look, store: Store, name: str) -> None:
    """Look at a sweep, but not at its runs."""
    folder = store.sweep_path(name)

    def examine(one: Look) -> None:
        manifest = _manifest(one, folder, "sweep", SweepManifest)
        unfinished = manifest is not None and manifest.status != "finished"
        _look_at_parts(one, folder, manifest, {TABLE, FIGURES} if unfinished else set())
        for run in manifest.runs if manifest else ():
            if not store.run_path(run).exists():
                one.note(folder, f"names {run}, which isn't in this store")

    settled(look, folder, examine)


def look_at_run(look: Look, store: Store, name: str) -> None:
    """Look at a run with its checkpoints, its log and what was measured on it."""
    folder = store.run_path(name)

    def examine(one: Look) -> None:
        manifest = _manifest(one, folder, "run", RunManifest)
        unfinished = manifest is not None and manifest.status != "finished"
        own = (LOG, CHECKPOINTS, FIGURES, *KINDS)
        _look_at_parts(one, folder, manifest, _PRODUCTS if unfinished else set(), own)
        if manifest is not None:
            _look_at_log(one, folder / LOG, manifest)
            _look_at_parent(one, store, folder, manifest)

    settled(look, folder, examine)
    for path in _inside(look, folder / CHECKPOINTS):
        if is_step(path.name) and is_plain_folder(path):
            _look_at_checkpoint(look, path)
        else:
            look.orphan(path)
    for kind in KINDS:
        for path in _inside(look, folder / kind):
            if _RESULT.fullmatch(path.name):
                look.document(path, "result", lambda document: document)
            else:
                look.orphan(path)
    if not (folder / FIGURES).is_symlink():
        look.strangers(folder / FIGURES, folder, None)


def _inside(look: Look, folder: Path) -> list[Path]:
    """What is in a folder; where that is a link, it has been said and isn't followed."""
    return [] if folder.is_symlink() else look.entries(folder)


def _manifest(look: Look, folder: Path, kind: Any, record: Any) -> Any:
    path = folder / MANIFEST

    def check(document: dict[str, Any]) -> Any:
        manifest = record.from_json(document, path.relative_to(look.root))
        if manifest.name != folder.name:
            raise Corrupt(f"belongs to {manifest.name}, not to {folder.name}")
        return manifest

    return look.document(path, kind, check)


def _look_at_parts(
    look: Look, folder: Path, manifest: Any, unvouched: set[str], own: Collection[str] = ()
) -> None:
    """Look at what a manifest vouches for, and at what else lies in its folder.

    Of the names in ``unvouched`` nobody vouches for what is there yet; those in ``own`` are looked at
    elsewhere.
    """
    vouched = manifest.files if manifest is not None else {}
    look.files(folder, vouched)
    tops = {name.split("/", 1)[0] for name in vouched}
    for path in look.entries(folder):
        if path.name == LOCK:
            look.is_plain(path)
        elif path.name in own:
            if path.name != LOG:
                look.is_plain(path, folder=True)
        elif path.name in tops:
            if is_plain_folder(path):
                look.strangers(path, folder, vouched)
        elif path.name in unvouched:
            look.note(path, _UNFINISHED)
        elif manifest is not None and path.name != MANIFEST:  # without it, who can tell
            look.orphan(path)


def _look_at_checkpoint(look: Look, folder: Path) -> None:
    def examine(one: Look) -> None:
        document = one.document(
            folder / MANIFEST, "checkpoint", lambda found: check_checkpoint(found, folder)
        )
        if document is not None:
            one.files(folder, document["files"])
            one.strangers(folder, folder, {MANIFEST, *document["files"]})

    settled(look, folder, examine)


def _look_at_parent(look: Look, store: Store, folder: Path, manifest: RunManifest) -> None:
    """Say where the data set of a run isn't what it was made from; that damages neither."""
    parent = manifest.parents["dataset"]
    try:
        digest = read_dataset_manifest(store.dataset_path(manifest.dataset)).digest
    except NotFound:
        look.note(folder, f"was made from {manifest.dataset}, which isn't in this store")
    except RcigError:
        return  # told where it lies
    else:
        if digest != parent["digest"]:
            look.note(folder, f"was made from another {manifest.dataset} than the one in this store")


def _look_at_log(look: Look, path: Path, manifest: RunManifest) -> None:
    said = manifest.log
    if said is None and not path.exists():
        return
    look.count()
    if not look.is_plain(path):
        return
    try:
        with storage_errors(path, "read"):
            content = read_plain(path, LARGEST_LOG, "log")
    except RcigError as error:
        look.problem(path, phrase(error, str(path)))
        return
    length = said["bytes"] if said else 0
    if len(content) < length:
        look.problem(path, f"has {len(content)} bytes of at least {length}")
    elif said and hashlib.sha256(content[:length]).hexdigest() != said["sha256"]:
        look.problem(path, "has changed since it was written")
    elif said and manifest.status != "running" and len(content) > length:
        look.problem(path, f"has {len(content)} bytes, and {length} were written")
    else:
        wrong = _log_flaw(content[length:], path)
        if wrong:
            look.problem(path, wrong)
        elif len(content) > length:
            look.note(path, f"is vouched for up to byte {length} of {len(content)}")


def _log_flaw(content: bytes, path: Path) -> str | None:
    """What is wrong with lines that nobody vouches for yet; the last may be torn."""
    last = -1
    for number, line in enumerate(content.split(b"\n")[:-1], 1):
        try:
            step = parse(line, path.name).get("step")
        except Corrupt:
            return f"isn't readable in line {number} of those since the newest checkpoint"
        if not isinstance(step, int) or step <= last:
            return f"is out of order in line {number} of those since the newest checkpoint"
        last = step
    return None
