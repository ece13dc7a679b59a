"""What a store holds, and whether all of it is sound: for comparing what was disturbed with what wasn't."""

import json
import re
from collections import defaultdict
from pathlib import Path

from rcig_cli.errors import RcigError
from rcig_cli.store.checkpoints import CHECKPOINTS, steps
from rcig_cli.store.digests import mismatches
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.records import MANIFEST
from rcig_cli.store.results import read_results
from rcig_cli.store.store import STORE, open_store

PARTIAL = ".partial-"  # a data set being prepared, with which the next command goes on
ORPHAN = re.compile(r"\.(tmp|partial|replaced)-")
_TIME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-")
# Times, and a document's digest of itself, which follows from them.
_MOMENTS = ("created", "updated", "sha256")


def files(store):
    """Every file but what a dead process left aside."""
    paths = sorted(path for path in Path(store).rglob("*") if path.is_file())
    return [path for path in paths if not orphan(path.relative_to(store))]


def orphan(path):
    """Whether a path within a store is of an interrupted write."""
    return any(ORPHAN.match(part) for part in Path(path).parts)


def orphans(store):
    """Names that interrupted writes left, the outermost of each."""
    found = [path.relative_to(store) for path in Path(store).rglob(".*") if ORPHAN.match(path.name)]
    return [path for path in found if not orphan(path.parent)]


def tree(store):
    """From path to contents, times left out: several measurements of one kind are one path."""
    found = defaultdict(set)
    for path in files(store):
        if path.name == "lock":
            continue  # the process number in it is for a message
        content = path.read_bytes()
        if path.name == MANIFEST:
            content = json.dumps(_timeless(json.loads(content))).encode()
        found[_TIME.sub("", path.relative_to(store).as_posix())].add(content)
    return dict(found)


def _timeless(document):
    return {name: value for name, value in document.items() if name not in _MOMENTS}


def difference(one, other):
    """The paths where two trees differ."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def problems(store):
    """Everything that is wrong with a store that a command left; there may not be one yet."""
    store = Path(store)
    if not (store / STORE).exists():
        return [f"{path} in no store" for path in files(store)] if store.exists() else []
    try:
        opened = open_store(store, create=False)
        listings = opened.datasets(), opened.runs(), opened.sweeps()
        found = [problem.message for listing in listings for problem in listing.problems]
        for manifest in opened.datasets().found:
            found += _unlike(opened.dataset_path(manifest.name), manifest.files)
        for manifest in opened.runs().found:
            found += _unlike(opened.run_path(manifest.name), manifest.files)
            found += _problems_of_run(opened.run_path(manifest.name))
    except RcigError as error:
        return [str(error)]
    return found


def _problems_of_run(path):
    for step in steps(path):
        folder = path / CHECKPOINTS / str(step)
        document = json.loads((folder / MANIFEST).read_text())
        yield from _unlike(folder, document["files"])
        vouched = {MANIFEST, *document["files"]}
        present = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
        yield from (f"{folder / name} is not vouched for" for name in present - vouched)
    for kind in ("evaluations", "attacks", "timings"):
        yield from (problem.message for problem in read_results(path, kind).problems)
    MetricsLog(path / "metrics.jsonl").read()


def _unlike(folder, vouched):
    return [f"{folder / name} {problem}" for name, problem in mismatches(folder, vouched).items()]
