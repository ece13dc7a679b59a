"""Whole commands, in this process: with any arguments, and over stores whose files were changed.

What takes hours is cut off where it would begin: at the first step, the first network, the first batch, the
first word to another process.  Everything before that is real.
"""

import base64
import io
import json
import os
import re
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import typer.main

from rcig_cli.cli import app
from rcig_cli.errors import ConfigError, Corrupt, RcigError
from rcig_cli.store.asides import is_plain_folder
from rcig_cli.store.digests import digests
from rcig_cli.store.manifest import MANIFEST, read_dataset_manifest
from rcig_cli.store.seals import sealed
from tests.fuzz.mutation import NUMBERS, TEXTS, mutate_bytes, mutate_json, mutate_text
from tests.fuzz.store_targets import MIB, SEALED, diverged, json_mutant
from tests.fuzz.target import Target

_CODES = {0, 1, 2, 3, 4, 5, 6, 130, 143}
_BAD = re.compile(r"should not have happened|\[Errno|Exception ignored")
_RUNS = ("run_1", "run_2", "run_3", "handed")
_DEEP = "a/b/c/d/e/f"  # so that a few .. stay within the scratch folder


class Enough(RcigError):
    """What would take hours was about to begin."""


def _enough(*_, **__):
    raise Enough("That would be enough.")


def _cut_off():
    """Put an end to what would take hours, or reach out of this machine."""
    from rcig_cli.runs.distill import running
    from rcig_cli.runs.engine import processes
    from rcig_cli.runs.evaluate import evaluate
    from rcig_cli.runs.housekeeping import doctor
    from rcig_cli.runs.membership import attack
    from rcig_cli.runs.prepare import passes

    running.make_engine = evaluate.make_measurement = processes._connect = doctor.examine = _enough
    passes.Preparation.run = attack.Attacker.__init__ = _enough
    # What Matplotlib makes when it is imported lies in its own folder, not in the first input's.
    import matplotlib.pyplot  # noqa: F401

    sys.modules["tensorflow_datasets"] = None
    app.app = _built()
    for name in [
        name for name in os.environ if name.startswith(("RCIG_STORE", "RCIG_CO", "RCIG_PR", "SLURM"))
    ]:
        del os.environ[name]


def _lay_store(root):
    """A small store: a data set, runs that ended in different ways, a sweep."""
    root.mkdir(parents=True)
    shutil.copy(SEALED / "store.json", root)
    for place in ("datasets/shapes", *(f"runs/{run}" for run in _RUNS), "sweeps/sweep_1"):
        shutil.copytree(SEALED / place, root / place, ignore=shutil.ignore_patterns("state", "*.png"))


def run_command(arguments):
    """Run a command; return its code, stdout and stderr, having checked all that every command promises."""
    out, err = io.StringIO(), io.StringIO()
    old, sys.stdin = sys.stdin, io.StringIO("y\n")
    try:
        with redirect_stdout(out), redirect_stderr(err):
            app.main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    finally:
        sys.stdin = old
    said = err.getvalue()
    assert code in _CODES, f"it left with {code!r}"
    assert not _BAD.search(said), said[-500:]
    assert "Traceback" not in said or "--debug" in arguments, said[-500:]
    assert code == 0 or said.strip() or out.getvalue().strip(), f"it left with {code} and without a word"
    if "--json" in arguments and "--help" not in arguments and "--version" not in arguments:
        json.loads(out.getvalue(), parse_constant=_not_json)
    return code, out.getvalue(), said


def _not_json(name):
    raise AssertionError(f"it printed {name} as JSON")


@cache
def _built():
    """The real application; Typer would build it anew for each line."""
    return typer.main.get_command(app.app)


def _commands():
    return _built().commands


def _some_value(parameter, random):
    kind = str(parameter.type_descriptor.annotation)
    if random.random() < 0.4:
        return random.choice([*TEXTS, *map(str, filter(_short, NUMBERS))])
    if "int" in kind or "float" in kind:
        return str(random.choice([1, 2, 3, 0, -1, 10, 0.5, 1e-3, 2**31, 10**30, 1e400, "nan"]))
    return random.choice(
        [
            "run_1",
            "run_2",
            "run_3",
            "handed",
            "shapes",
            "digits",
            "sweep_1",
            "mnist",
            "convnet",
            "resnet18",
            "all",
            "none",
            "batch",
            "adam",
            "cg",
            "rcig",
            "npz",
            "png",
            "out.npz",
            "out.png",
            "out.html",
            "set",
            "newest",
            "sweep.toml",
            "precious",
            "store",
            "runs/run_1",
            "datasets/shapes",
            "/",
            "..",
            "./a",
            "a/x",
        ]
    )


def _short(number):
    return len(repr(number)) < 1000 if not isinstance(number, int) else abs(number) < 10**1000


def _some_arguments(random):
    name = random.choice([*_commands(), "visualize", "sweep", "import"])
    words = [name]
    for parameter in _commands()[name].params:
        likely = 0.9 if parameter.param_type_name == "argument" else 0.12
        if random.random() > likely or parameter.name == "help":
            continue
        value = _some_value(parameter, random)
        if parameter.param_type_name == "argument":
            words += [value] * random.choice((1, 1, 2))
        elif getattr(parameter, "is_flag", False):
            words.append(random.choice([*parameter.opts, *parameter.secondary_opts]))
        else:
            option = random.choice(parameter.opts)
            words += random.choice([[option, value], [f"{option}={value}"]])
    return words


def argument_seeds():
    """Each command as its help has it, and with every option's name."""
    seeds = [[]]
    for name, command in _commands().items():
        seeds += [[name], [name, "--help"], [name, "run_1", "--json"], [name, "shapes", "--quiet"]]
        seeds += [[name, "run_1", option] for parameter in command.params for option in parameter.opts]
    _cut_off()
    return [json.dumps(words).encode() for words in seeds]


def argument_mutant(data, random):
    """Another line of arguments: made anew, or this one with a word changed, lost, doubled or moved."""
    words = json.loads(data)
    if random.random() < 0.6 or not isinstance(words, list):
        return json.dumps(_some_arguments(random)).encode()
    words = [str(word) for word in words]
    at = random.randrange(len(words) + 1)
    new = random.choice([*TEXTS, *_some_arguments(random)])
    if at == len(words):
        words.append(new)
    else:
        words[at : at + 1] = random.choice([[], [new], [words[at], new], [mutate_text(words[at], random)]])
    return json.dumps(words).encode()


def _harmless(word: str, scratch: Path) -> str:
    """The word, such as a shell could give it, and with no path that leads out of the scratch folder."""
    word = word.replace("\0", "\udc80").encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    word = re.sub(r"(^|=)(?=/)", lambda match: match[0] + str(scratch), word)
    return re.sub(r"(\.\./){4,}", "../../../", word).replace("~", "=")


def feed_arguments(data, scratch):
    """A line of arguments."""
    try:
        words = json.loads(data)
    except (ValueError, RecursionError):
        raise Corrupt("no JSON") from None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise Corrupt("no words")
    home = scratch / _DEEP
    home.mkdir(parents=True)
    os.chdir(home)
    words = [_harmless(word, scratch) for word in words]
    if words[:1] not in ([], ["prepare"], ["doctor"]):
        _lay_store(home / "artifacts")
    (home / "precious").write_bytes(b"not ours")
    (home / "sweep.toml").write_bytes(b'dataset = "shapes"\nipc = 1\n[sweep]\nseed = [0, 1]\n')
    code, _, said = run_command(words)
    assert (home / "precious").read_bytes() == b"not ours"
    if not any("--out" in word or "--store" in word for word in words) and words[:1] != ["export"]:
        there = {path.name for path in home.iterdir()}
        assert there <= {"artifacts", "precious", "sweep.toml"}, there
    if code:
        raise ConfigError(said or "refused")


_LINES = [
    ["verify", "--json"], ["verify"], ["list"], ["list", "--json"],
    ["show", "run_1"], ["show", "run_1", "--json"],
    ["show", "shapes"], ["show", "sweep_1"], ["show", "handed"], ["compare", "run_1", "run_2", "handed"],
    ["compare", "run_1", "run_2", "--json"], ["evaluate", "run_1", "--networks", "1"], ["mia", "run_1"],
    ["visualize", "run_1", "--grid"], ["visualize", "run_1", "--labels"], ["visualize", "run_1", "--curves"],
    ["visualize", "run_1", "--animate"], ["visualize", "run_1", "--compare", "run_2"], ["report", "run_1"],
    ["export", "run_1", "--out", "o.npz"], ["export", "run_1", "--format", "png", "--out", "o"],
    ["export", "run_1", "--format", "safetensors", "--out", "o.safetensors"],
    ["export", "run_1", "--format", "parquet", "--out", "o"], ["gc", "--yes"], ["gc", "--dry-run", "--json"],
    ["rm", "run_1", "sweep_1", "--yes"], ["rm", "shapes", "--force", "--yes"],
    ["distill", "--resume", "run_3"], ["distill", "--resume", "run_1", "--image-lr", "1e-9"],
    ["distill", "shapes", "--ipc", "1"], ["sweep", "sweep.toml"], ["prepare", "shapes"],
]  # fmt: skip


def _places():
    found = [path.relative_to(SEALED).as_posix() for place in ("datasets/shapes", "runs/run_1", "runs/run_3",
             "sweeps/sweep_1") for path in sorted((SEALED / place).rglob("*"))
             if path.is_file() and "state" not in path.parts and path.suffix != ".png"]  # fmt: skip
    return [*found, "runs/handed/manifest.json", "store.json"]


def store_seeds():
    """Each file of the store as it is, for one command each."""
    _cut_off()
    as_they_are = [
        _input(index, place, (SEALED / place).read_bytes(), True) for index, place in enumerate(_places())
    ]
    place = "runs/run_1/manifest.json"
    gone_on = diverged((SEALED / place).read_bytes())
    return [*as_they_are, *(_input(line, place, gone_on, True) for line in range(len(_LINES)))]


def _input(line, place, content, fitting):
    return json.dumps([line % len(_LINES), place, base64.b64encode(content).decode(), fitting]).encode()


def store_mutant(data, random):
    """Another file in the store, or another command over this one."""
    line, place, content, _ = json.loads(data)
    content = base64.b64decode(content)
    if random.random() < 0.1:
        place = random.choice(_places())
        content = (SEALED / place).read_bytes()
    if random.random() < 0.1:
        content = mutate_bytes(content, random)
    elif place.endswith("zarr.json"):
        content = json.dumps(mutate_json(json.loads(content), random)).encode()
    elif place.endswith(".jsonl"):
        lines = content.splitlines()
        at = random.randrange(len(lines))
        lines[at] = json.dumps(mutate_json(json.loads(lines[at]), random)).encode()
        content = b"\n".join(lines)
    elif place.endswith(".json"):
        content = json_mutant(content, random)
    else:
        content = mutate_bytes(content, random)
    line = random.randrange(len(_LINES)) if random.random() < 0.8 else line
    return _input(line, place, content, random.random() < 0.8)


def feed_store(data, scratch):
    """A command over a store, one of whose files is another; what vouches for it made to fit, or not."""
    try:
        line, place, content, fitting = json.loads(data)
        content = base64.b64decode(content, validate=True)
        words = _LINES[line % len(_LINES)]
    except (ValueError, TypeError, RecursionError):
        raise Corrupt("no such input") from None
    if place not in _places():
        raise Corrupt("no such file")
    root = scratch / "artifacts"
    _lay_store(root)
    (scratch / "sweep.toml").write_bytes(b'dataset = "shapes"\nipc = 1\n[sweep]\nseed = [0, 1]\n')
    (root / place).write_bytes(content)
    if fitting:
        _vouch(root)
    code, _, said = run_command(words)
    if code:
        raise Corrupt(said or "refused")


def _vouch(root):
    """Let every manifest vouch for the files as they are now, and runs for their data set."""
    for folder in (root / "datasets/shapes", *(root / "runs").iterdir(), *(root / "sweeps").iterdir()):
        _change(folder / MANIFEST, lambda document, folder=folder: _with_digests(document, folder))
    try:
        digest = read_dataset_manifest(root / "datasets/shapes").digest
    except RcigError:
        return
    for folder in (*(root / "runs").iterdir(), *(root / "sweeps").iterdir()):
        _change(folder / MANIFEST, lambda document: _with_parent(document, digest))


def _change(path, change):
    try:
        document = change(json.loads(path.read_bytes()))
        path.write_text(sealed(document))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError):
        return  # a manifest that is hardly one: it stays as it is


def _with_digests(document, folder):
    found = {}
    for name in sorted({name.split("/")[0] for name in document["files"]}):
        if is_plain_folder(folder / name) or (folder / name).is_file():
            found |= digests(folder, name)
    return {**document, "files": found}


def _with_parent(document, digest):
    parents = document["parents"]
    return {**document, "parents": {**parents, "dataset": {**parents["dataset"], "digest": digest}}}


TARGETS = (
    Target("arguments", argument_seeds, feed_arguments, 256 * MIB, argument_mutant),
    Target("commands", store_seeds, feed_store, 256 * MIB, store_mutant),
)
