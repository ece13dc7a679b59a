"""What a store holds, for comparing stores, and what is wrong with it."""

import json
import re
from collections import defaultdict

from rcig_cli.errors import RcigError
from rcig_cli.runs.housekeeping.verify import verify
from rcig_cli.store.files import PARTIAL, is_temporary
from rcig_cli.store.progress import PROGRESS
from rcig_cli.store.records import MANIFEST
from rcig_cli.store.store import STORE
from tests.silent import Silent

_TIME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-")
# Times, and the checksum of a document, which depends on them.
_CHANGING = ("created", "updated", "sha256")


def is_unfinished(path):
    """Whether a path within a store is of an interrupted write, or of a preparation to be resumed."""
    return any(is_temporary(part) or part.startswith(PARTIAL) for part in path.parts)


def temporaries(store):
    """Return the temporary files and folders that interrupted writes left, relative to the store."""
    found = [path.relative_to(store) for path in store.rglob(".*") if is_temporary(path.name)]
    return sorted(path for path in found if not is_unfinished(path.parent))


def tree(store):
    """Map paths to contents, without times and timings; several measurements of one kind share a path.

    The progress of a run is left out: a killed process leaves it, and readers ignore it.
    """
    found = defaultdict(set)
    for path in store.rglob("*"):
        name = path.relative_to(store)
        transient = path.name in ("lock", PROGRESS) or "timings" in name.parts
        if not path.is_file() or transient or is_unfinished(name):
            continue
        content = path.read_bytes()
        if path.name == MANIFEST:
            document = json.loads(content)
            content = json.dumps({key: document[key] for key in document if key not in _CHANGING}).encode()
        found[_TIME.sub("", name.as_posix())].add(content)
    return dict(found)


def difference(one, other):
    """Return the paths where two trees differ."""
    return sorted(path for path in one.keys() | other.keys() if one.get(path) != other.get(path))


def problems(store):
    """Return what is wrong with a store, which may not exist yet: damage, and files that are not known."""
    if not (store / STORE).exists():
        return [f"{path}, but no {STORE}" for path in tree(store)]
    try:
        found = verify(store, [], Silent())
    except RcigError as error:
        return [str(error)]
    named = sorted(orphan.path for orphan in found.of_kind("orphan"))
    left = [path.as_posix() for path in temporaries(store)]
    unlike = [f"verify names {named} as left over, but there are {left}"] if named != left else []
    return [f"{one.path} {one.text}" for one in found.of_kind("problem")] + unlike
