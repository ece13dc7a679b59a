"""What the store reads: every kind of document, logs, arrays, checkpoints, names, sweep files, odd files."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import google_crc32c
import numpy as np

from rcig_cli.cli.show import lines_of
from rcig_cli.errors import Corrupt, RcigError
from rcig_cli.presets.config import DistillConfig, difference
from rcig_cli.presets.preset import resolve
from rcig_cli.presets.sweep import make_plan, read_plan
from rcig_cli.runs.engine.timing import timing_of
from rcig_cli.runs.housekeeping.verify import verify
from rcig_cli.store import checkpoints, names
from rcig_cli.store.arrays import array_names, read_array, read_arrays, write_arrays
from rcig_cli.store.digests import digests
from rcig_cli.store.documents import read_document
from rcig_cli.store.layout import open_store
from rcig_cli.store.locate import locate
from rcig_cli.store.locks import RunLock
from rcig_cli.store.manifest import MANIFEST, write_manifest
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.provenance import now
from rcig_cli.store.results import KINDS, read_results
from rcig_cli.store.rows import StoredRows
from rcig_cli.store.seals import sealed
from tests.fuzz.mutation import TEXTS, dump_json, mutate_bytes, mutate_json, mutate_text
from tests.fuzz.target import Target
from tests.silent import Silent

GOLDEN = Path(__file__).parents[1] / "store" / "golden"
SEALED = GOLDEN / "format_1_sealed"
OLD = GOLDEN / "format_0"
MIB = 1 << 20


def bare_mutant(data: bytes, random: Random) -> bytes:
    """Another document that has no seal."""
    return dump_json(mutate_json(json.loads(data), random), random)


def _read(*patterns, of=(SEALED, OLD)):
    return [path.read_bytes() for root in of for pattern in patterns for path in sorted(root.glob(pattern))]


def json_mutant(data: bytes, random: Random) -> bytes:
    """Another document, sealed again more often than not."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    document = mutate_json(document, random)
    if isinstance(document, dict) and random.random() < 0.7:
        try:
            return sealed(document).encode()
        except (ValueError, RecursionError):
            pass
    return dump_json(document, random)


def _store(scratch):
    (scratch / "store.json").write_text('{\n  "format": 1\n}\n')
    return open_store(scratch, create=False)


def _put(scratch, place, data):
    (scratch / place).parent.mkdir(parents=True, exist_ok=True)
    (scratch / place).write_bytes(data)


def _whole(data: bytes, fallback: str) -> str:
    """The name a document gives itself, so that its folder may have it too."""
    try:
        name = json.loads(data)["name"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return fallback
    return name if isinstance(name, str) and names.is_run_name(name) else fallback


def feed_dataset(data, scratch):
    store, name = _store(scratch), _whole(data, "shapes")
    _put(scratch, f"datasets/{name}/{MANIFEST}", data)
    verify(store, [], Silent())
    dataset = store.dataset(name)
    json.dumps(dataset.as_parent)
    write_manifest(store.dataset_path(name), dataset)


def feed_run(data, scratch):
    store, name = _store(scratch), _whole(data, "run_1")
    _put(scratch, f"runs/{name}/{MANIFEST}", data)
    verify(store, [], Silent())
    run = store.run(name)
    "\n".join(lines_of(run.to_json()))
    write_manifest(store.run_path(name), replace(run, updated=now()))
    config = DistillConfig.from_json(run.config)
    json.dumps(config.to_json(), allow_nan=False)
    difference(config, DistillConfig("digits", 1, 1))


def feed_sweep_manifest(data, scratch):
    store = _store(scratch)
    _put(scratch, f"sweeps/sweep_1/{MANIFEST}", data)
    verify(store, [], Silent())
    sweep = store.sweep("sweep_1")
    "\n".join(lines_of(sweep.to_json()))
    write_manifest(store.sweep_path("sweep_1"), replace(sweep, updated=now()))


def feed_store_json(data, scratch):
    _put(scratch, "store.json", data)
    open_store(scratch, create=True)


def feed_results(data, scratch):
    """Measurements of each kind, and what commands make of them."""
    store = _store(scratch)
    _put(scratch, f"runs/run_1/{MANIFEST}", (SEALED / "runs/run_1/manifest.json").read_bytes())
    for kind in KINDS:
        _put(scratch, f"runs/run_1/{kind}/20250301T123000.123456Z-convnet.json", data)
    verify(store, [], Silent())
    found = {kind: read_results(store.run_path("run_1"), kind) for kind in KINDS}
    timing_of(store.run_path("run_1"))
    problems = [problem.message for listing in found.values() for problem in listing.problems]
    if problems:
        raise Corrupt(problems[0])


def feed_metrics(data, scratch):
    log = MetricsLog(scratch / "metrics.jsonl")
    _put(scratch, "metrics.jsonl", data)
    log.read()
    log.truncate_after(5)
    with log:
        log.append({"step": 6, "loss": float("nan")})
        log.vouched()
    assert log.read()[-1]["step"] == 6


def metrics_mutant(data, random):
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    try:
        lines[at] = json.dumps(mutate_json(json.loads(lines[at]), random)).encode()
    except (ValueError, RecursionError):
        return mutate_bytes(data, random)
    return b"\n".join(lines)


_ARRAYS = {"images": np.arange(96, dtype=np.float32).reshape(6, 4, 4), "labels": np.arange(6, dtype=np.uint8)}


def _group(scratch):
    write_arrays(scratch / "a.zarr", _ARRAYS)
    return scratch / "a.zarr"


_SEEDS = {}


def _written(make):
    """The files that `make` writes, by path: made once."""
    if make not in _SEEDS:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder))
            files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
            _SEEDS[make] = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
    return _SEEDS[make]


def _lay(scratch, make, changed):
    for place, content in {**_written(make), **changed}.items():
        _put(scratch, place, content)


def feed_zarr_metadata(data, scratch):
    """The description of an array, read in every way there is."""
    _lay(scratch, _group, {"a.zarr/images/zarr.json": data})
    group = scratch / "a.zarr"
    array_names(group)
    for error in [_try(lambda: read_array(group, "images", 2, 4, max_bytes=MIB)),
                  _try(lambda: _rows(group, "images"))]:  # fmt: skip
        if error:
            raise error
    read_arrays(group, max_bytes=MIB)


def _try(action):
    try:
        action()
    except RcigError as error:
        return error
    return None


def _rows(group, name):
    rows = StoredRows(group, name)
    if len(rows) and rows.nbytes <= MIB:
        rows[np.array([0, 0])], rows[0:1]


def feed_zarr_shard(data, scratch):
    """The bytes of an array."""
    _lay(scratch, _group, {"a.zarr/images/c/0/0/0": data})
    group = scratch / "a.zarr"
    _try(lambda: _rows(group, "images"))
    found = read_arrays(group, max_bytes=MIB)["images"]
    assert found.shape == (6, 4, 4)
    assert found.dtype == np.float32


def _crc(data):
    return google_crc32c.value(bytes(data)).to_bytes(4, "little")


def shard_mutant(data, random):
    """Another shard, its chunk and its index changed and their check sums made to fit again."""
    if len(data) < 24:
        return mutate_bytes(data, random)
    chunk, index = data[:-20], bytearray(data[-20:-4])
    if random.random() < 0.7:
        inner = _bomb(random) if random.random() < 0.2 else mutate_bytes(chunk[:-4], random)
        chunk = inner + _crc(inner)
        index[8:16] = len(chunk).to_bytes(8, "little")
    if random.random() < 0.3:
        index = bytearray(mutate_bytes(bytes(index), random)[:16].ljust(16, b"\0"))
    return chunk + bytes(index) + _crc(index)


def _bomb(random):
    """Zstd that would unpack to far more than its chunk: with its size told, untold, or told wrong."""
    from numcodecs.zstd import Zstd

    packed = Zstd(level=1).encode(bytes(random.choice((385, 1 << 20, 1 << 28))))
    return packed if random.random() < 0.5 else mutate_bytes(packed, random)


def _checkpoint(scratch):
    state = {"images": np.arange(12, dtype=np.float32).reshape(3, 4), "step": np.int32(3)}
    checkpoints.save(scratch / "runs" / "run_1", 3, state)


def feed_checkpoint(data, scratch):
    """A checkpoint with one of its files changed, and its manifest made to fit or changed itself."""
    which, _, content = data.partition(b"\n")
    places = [place for place in _written(_checkpoint) if not place.endswith("lock")]
    place = places[int.from_bytes(which[:1], "big") % len(places)]
    _lay(scratch, _checkpoint, {place: content})
    run = scratch / "runs" / "run_1"
    folder = run / "checkpoints" / "3"
    if place != f"runs/run_1/checkpoints/3/{MANIFEST}":
        document = json.loads((folder / MANIFEST).read_bytes())
        document["files"] = {k: v for k, v in digests(folder).items() if k != MANIFEST}
        (folder / MANIFEST).write_text(sealed(document))
    template = {"images": np.zeros((3, 4), np.float32), "step": np.int32(0)}
    restored = checkpoints.load(run, 3, template)
    assert restored.state["images"].shape == (3, 4)


def checkpoint_seeds():
    files = {k: v for k, v in _written(_checkpoint).items() if not k.endswith("lock")}
    return [bytes([index]) + b"\n" + content for index, content in enumerate(files.values())]


def checkpoint_mutant(data, random):
    which, content = data[:2], data[2:]
    return which + (json_mutant(content, random) if content[:1] == b"{" else mutate_bytes(content, random))


def feed_names(data, scratch):
    """A name, wherever a name may stand."""
    name = data.decode("utf-8", "surrogatepass") if random_utf8(data) else os.fsdecode(data)
    store = _store(scratch)
    for place in ("datasets", "runs", "sweeps"):
        (scratch / place).mkdir()
    for check in (names.is_dataset_name, names.is_run_name, names.is_sweep_name):
        if check(name):
            assert (scratch / "runs" / name).parent == scratch / "runs"
            assert name == os.path.basename(name)
            assert name not in {"", ".", ".."}
            assert len(name) <= 64
    names.natural_key(name), names.run_number(name), names.sweep_number(name)
    names.nearest(name[:100], ["run_1", "shapes"])
    if names.is_inner_path(name):
        assert os.path.realpath(scratch / name).startswith(str(scratch) + "/")
    errors = [_try(lambda look=look: look(name)) for look in (store.dataset, store.run, store.sweep)]
    errors += [_try(lambda: locate(store, name))]
    assert all(errors)
    locate(store, f"runs/{name}")


def random_utf8(data):
    """Whether bytes are text, halves of characters allowed."""
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


_NAMES = [text.encode("utf-8", "surrogatepass") for text in TEXTS]
_LOGS = [log[:2000] for log in _read("runs/*/metrics.jsonl")]


def text_mutant(data, random):
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return mutate_bytes(data, random)
    return mutate_text(text, random).encode("utf-8", "surrogatepass")


_TOML = [
    b'dataset = "digits"\nipc = 1\n[[sweep]]\ninner_steps = [2]\nseed = [0, 1]\n[evaluate]\nnetworks = 3\n',
    b'steps = 5\n[sweep]\nipc = [1, 10]\nsolver = ["adam", "cg"]\nimage_lr = [1e-3, 0.1]\nflip = true\n',
    b"ipc = 1\n[[sweep]]\nwidth = [8, 16]\n[[sweep]]\nalgorithm = ['rcig', 'frepo']\n[evaluate]\nsteps = 5\n",
]


def feed_sweep_file(data, scratch):
    """A sweep's file, down to each run's configuration."""
    _put(scratch, "sweep.toml", data)
    _resolve_all(read_plan(scratch / "sweep.toml"))


def _resolve_all(plan):
    json.dumps(plan.to_json(), allow_nan=False)
    combinations = plan.combinations()
    assert 0 < len(combinations) <= 1000
    for settings in combinations[:20]:
        json.dumps(resolve("digits", (8, 8, 1), 10, settings).to_json(), allow_nan=False)


def feed_plan(data, scratch):
    """A sweep's file as JSON, so that it is readable at least; and the configurations in it."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise Corrupt("no JSON") from None
    if not isinstance(document, dict):
        raise Corrupt("no object")
    _resolve_all(make_plan(document))


_PLANS = [
    b'{"ipc": 1, "sweep": [{"inner_steps": [2, 5], "seed": [0, 1]}], "evaluate": {"networks": 3}}',
    b'{"dataset": "digits", "sweep": {"ipc": [1, 10], "image_lr": [0.1, 1]}}',
]


def feed_config(data, scratch):
    """A configuration, as a run's manifest has it."""
    _put(scratch, "config.json", data)
    config = DistillConfig.from_json(read_document(scratch / "config.json"))
    json.dumps(config.to_json(), allow_nan=False)
    DistillConfig.from_json(config.to_json())
    config.override({"seed": 1})


def config_seeds():
    full = [json.loads(text)["config"] for text in _read("runs/*/manifest.json", of=(SEALED,))]
    return [json.dumps(each).encode() for each in [*full, {"ipc": 1, "solver": "adam", "width": 8}]]


# What stands in the place of a file or a folder of a store, and where.
_STRANGE = {
    b"p": lambda path: os.mkfifo(path),
    b"z": lambda path: path.symlink_to("/dev/zero"),
    b"n": lambda path: path.symlink_to("/dev/null"),
    b"l": lambda path: path.symlink_to(path.name),
    b"o": lambda path: path.symlink_to(path.parents[0] / ".." / ".." / ".." / "canary"),
    b"c": lambda path: path.symlink_to(_canary(path)),
    b"f": lambda path: path.symlink_to(_canary(path) / "file"),
    b"d": lambda path: path.mkdir(),
    b"e": lambda path: path.touch(),
    b"h": lambda path: _huge(path),
    b"x": lambda path: path.write_bytes(b"\xff" * 100),
    b"m": lambda path: path.mkdir(mode=0),
}


def _canary(path):
    return next(folder / "canary" for folder in path.parents if (folder / "canary").exists())


def _huge(path):
    with path.open("wb") as stream:
        stream.truncate(65 * MIB)  # more than a document may have


def _furnished(scratch):
    """A store with one run, small enough to be laid out again and again."""
    for place in ("store.json", "datasets/shapes", "runs/run_1", "sweeps/sweep_1"):
        source, end = SEALED / place, scratch / place
        if source.is_dir():
            shutil.copytree(source, end, ignore=shutil.ignore_patterns("state", "1*", "*.png"))
        else:
            shutil.copy(source, end)
    _put(scratch, "runs/run_1/lock", b"")


def furniture_seeds():
    count = len(_furniture())
    return [key + number.to_bytes(2, "big") for number in range(count) for key in (b"p", b"c")]


def _furniture():
    files = list(_written(_furnished))
    folders = {str(parent) for file in files for parent in Path(file).parents} - {"."}
    return sorted({*files, *folders})


def furniture_mutant(data, random):
    places = _furniture()
    changes = [data[at : at + 3] for at in range(0, len(data), 3)][:4]
    new = random.choice(list(_STRANGE)) + random.randrange(len(places)).to_bytes(2, "big")
    return b"".join(random.choice([[new], [*changes, new], [*changes[1:], new]]))


def feed_furniture(data, scratch):
    """A store in which other things stand where files and folders should; read, verified, and written to."""
    _lay(scratch, _furnished, {})
    places = _furniture()
    for at in range(0, min(len(data), 12) - 2, 3):
        _replace(
            scratch, places[int.from_bytes(data[at + 1 : at + 3], "big") % len(places)], data[at : at + 1]
        )
    problems = [_try(lambda step=step: step(scratch)) for step in _STEPS]
    for problem in problems:
        if problem:
            raise problem


def _replace(scratch, place, kind):
    path = scratch / place
    inside = os.path.realpath(path.parent).startswith(str(scratch)) and path.parent.is_dir()
    if not inside or kind not in _STRANGE:
        return
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
    if not os.path.lexists(path):
        _STRANGE[kind](path)


def _look(scratch):
    store = open_store(scratch, create=False)
    for listing in (store.datasets(), store.runs(), store.sweeps()):
        json.dumps([problem.message for problem in listing.problems])
    store.run("run_1"), store.sweep("sweep_1"), store.dataset("shapes")


def _verify(scratch):
    verify(open_store(scratch, create=False), [], Silent())


def _show(scratch):
    from rcig_cli.runs.distill.distilled import open_distilled

    open_distilled(open_store(scratch, create=False), "run_1")


def _write(scratch):
    """What a run that goes on writes into its folder."""
    from rcig_cli.store.results import write_result

    run = scratch / "runs" / "run_1"
    open_store(scratch, create=False).run("run_1")  # a run that is a link leads to a run, if to anything
    with RunLock(run):
        _try(lambda: write_result(run, "evaluations", "convnet", {"a": 1}))
        _try(lambda: MetricsLog(run / "metrics.jsonl").truncate_after(3))
        with MetricsLog(run / "metrics.jsonl") as log:
            _try(lambda: log.append({"step": 4}))
        _try(lambda: checkpoints.prune(run, 3))
        _try(lambda: checkpoints.latest(run, {"a": np.zeros(3)}))


def _tidy(scratch):
    from rcig_cli.runs.housekeeping.housekeeping import collect, find_garbage, plan_removal, remove

    store = open_store(scratch, create=False)
    collect(store, find_garbage(store, preparations=True), Silent())
    for name in ("sweep_1", "run_1", "shapes"):
        for doomed in plan_removal(store, [name], force=True):
            remove(doomed)


_STEPS = (_look, _verify, _show, _write, _tidy)


def _files(*patterns):
    return lambda: _read(*patterns)


def _file(make, place):
    return lambda: [_written(make)[place]]


_MEASURED = [f"runs/*/{kind}/*.json" for kind in KINDS]


def diverged(manifest):
    """A run's manifest, as if it had diverged and gone on."""
    document = json.loads(manifest)
    rates = {"image_lr": 0.3, "label_lr": 0.2, "temperature_lr": 1e-2, "pool_lr": 1e-4}
    record = {"step": 3, "not_finite": ["loss", "images"], "checkpoint": 2, "rates": rates}
    return sealed({**document, "divergences": [record, {**record, "checkpoint": None}]}).encode()


def run_seeds():
    manifests = _files("runs/*/manifest.json")()
    return [*manifests, *map(diverged, manifests)]


TARGETS = (
    Target("dataset_manifest", _files("datasets/*/manifest.json"), feed_dataset, 16 * MIB, json_mutant),
    Target("run_manifest", run_seeds, feed_run, 16 * MIB, json_mutant),
    Target("sweep_manifest", _files("sweeps/*/manifest.json"), feed_sweep_manifest, 16 * MIB, json_mutant),
    Target("store_json", _files("store.json"), feed_store_json, 16 * MIB, json_mutant),
    Target("results", _files(*_MEASURED), feed_results, 16 * MIB, json_mutant),
    Target("metrics", lambda: _LOGS, feed_metrics, 16 * MIB, metrics_mutant),
    Target(
        "zarr_metadata", _file(_group, "a.zarr/images/zarr.json"), feed_zarr_metadata, 32 * MIB, bare_mutant
    ),
    Target("zarr_shard", _file(_group, "a.zarr/images/c/0/0/0"), feed_zarr_shard, 32 * MIB, shard_mutant),
    Target("checkpoint", checkpoint_seeds, feed_checkpoint, 64 * MIB, checkpoint_mutant),
    Target("names", lambda: _NAMES, feed_names, 16 * MIB, text_mutant),
    Target("sweep_file", lambda: _TOML, feed_sweep_file, 32 * MIB, text_mutant),
    Target("sweep_plan", lambda: _PLANS, feed_plan, 16 * MIB, bare_mutant),
    Target("configuration", config_seeds, feed_config, 16 * MIB, bare_mutant),
    Target("furniture", furniture_seeds, feed_furniture, 256 * MIB, furniture_mutant),
)
