"""The fault-injecting layer, from the tests' side: points of a command, faults at them, and what came of it."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("faults.c")


@dataclass(frozen=True)
class Fault:
    """What strikes: 1 kills, 2 fails once, 3 fails from there on; the numbers of ``faults.c``."""

    kind: int
    error: int = 0


FAULTS = {
    "SIGKILL": Fault(1),
    "EIO": Fault(2, errno.EIO),
    "ENOSPC": Fault(2, errno.ENOSPC),
    "full disk": Fault(3, errno.ENOSPC),
}


@dataclass(frozen=True)
class Point:
    """One operation of a command: the occurrence-th (from 1) of a verb on a path."""

    verb: str
    path: str
    occurrence: int

    @property
    def key(self):
        return f"{self.verb} {self.path}"

    def __str__(self):
        return f"{self.verb} {self.path} #{self.occurrence}"


@dataclass(frozen=True)
class Operation:
    """A line of the layer's log."""

    verb: str
    path: str
    to: str
    what: str  # "struck", "refused" or nothing

    @property
    def key(self):
        return f"{self.verb} {self.path}"


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int | None
    out: str
    err: str
    operations: tuple[Operation, ...]

    @property
    def struck(self):
        return any(operation.what == "struck" for operation in self.operations)


def points_of(operations):
    """Every operation as a point of its own, in the order they came."""
    seen = Counter()
    points = []
    for operation in operations:
        seen[operation.key] += 1
        points.append(Point(operation.verb, operation.path, seen[operation.key]))
    return points


def build(folder):
    """Compile the layer; None where it can't be, with the reason."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not sys.platform.startswith("linux") or compiler is None:
        return None, "the fault-injecting layer needs Linux and a C compiler"
    library = Path(folder) / "faults.so"
    command = [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode:
        return None, f"the fault-injecting layer doesn't compile here: {built.stderr[:500]}"
    return library, ""


class Commands:
    """Runs commands, with or without a fault, in children of a process that has imported everything."""

    def __init__(self, library, folder):
        self.folder = Path(folder)
        environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names = json.loads(self.process.stdout.readline())["commands"]

    def run(self, *arguments, store=None, point=None, fault=None, pretend=False):
        """Run ``rcig ARGUMENTS``; where a store is named, log what is done in it, and strike at the point."""
        out, err, log = (self.folder / name for name in ("out", "err", "log"))
        log.unlink(missing_ok=True)
        armed = store and {
            "store": str(store),
            "log": str(log),
            "key": point.key if point else "",
            "occurrence": point.occurrence if point else 0,
            "kind": fault.kind if fault else 0,
            "error": fault.error if fault else 0,
        }
        request = {
            "arguments": [str(argument) for argument in arguments],
            "out": str(out),
            "err": str(err),
            "pretend": pretend,
            "fault": armed,
        }
        print(json.dumps(request), file=self.process.stdin, flush=True)
        code = json.loads(self.process.stdout.readline())["code"]
        return Ran(code, out.read_text(), err.read_text(), tuple(_operations(log)))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def _operations(log):
    for line in log.read_text().splitlines() if log.exists() else ():
        yield Operation(*line.split("\t"))
