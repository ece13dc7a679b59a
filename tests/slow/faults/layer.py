"""The fault-injecting layer, from the tests' side: points of a command, faults at them, what came of it."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
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
    """A line of the layer's log.

    Attributes
    ----------
    verb, path
        What is done, and where in the store, with random parts of names as "*".
    file, to
        The same as an absolute path, and where a rename or link leads.
    what
        "struck", "refused" or nothing.
    """

    verb: str
    path: str
    file: str
    to: str
    what: str

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
        self.library, self.folder = library, Path(folder)
        environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.slow.faults.zygote"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names = json.loads(self.process.stdout.readline())["commands"]

    def run(self, *arguments, store=None, point=None, fault=None, pretend=False):
        """Run ``rcig ARGUMENTS``; where a store is named, log what is done in it, and strike at the point."""
        return self._all([arguments], pretend, store and self._armed(store, point, fault))[0]

    def run_alone(self, *arguments, store, point=None, fault=None):
        """Run a command as a process of its own, as a user does, with the layer in it from its beginning."""
        armed = self._armed(store, point, fault)
        environment = {f"FAULTS_{name.upper()}": str(value) for name, value in armed.items()}
        done = subprocess.run(
            [sys.executable, "-m", "rcig_cli", *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **environment, "LD_PRELOAD": str(self.library)},
            capture_output=True,
            text=True,
        )
        return Ran(done.returncode, done.stdout, done.stderr, tuple(_operations(self.folder / "log")))

    def at_once(self, *commands):
        """Run several commands at the same time, none of them disturbed, with pretended steps."""
        return self._all(commands, True, None)

    def err(self, index):
        """The file that the index-th command of those at once writes its messages to."""
        return self.folder / f"err-{index}"

    def _armed(self, store, point, fault):
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        return {
            "store": str(store),
            "log": str(log),
            "key": point.key if point else "",
            "nth": point.occurrence if point else 0,
            "kind": fault.kind if fault else 0,
            "error": fault.error if fault else 0,
        }

    def _all(self, commands, pretend, armed):
        requests = [
            {
                "arguments": [str(argument) for argument in arguments],
                "out": str(self.folder / f"out-{index}"),
                "err": str(self.err(index)),
                "pretend": pretend,
                "fault": armed,
            }
            for index, arguments in enumerate(commands)
        ]
        for request in requests:
            Path(request["err"]).unlink(missing_ok=True)
        print(json.dumps(requests), file=self.process.stdin, flush=True)
        codes = json.loads(self.process.stdout.readline())
        done = tuple(_operations(self.folder / "log")) if armed else ()
        return [
            Ran(code, Path(request["out"]).read_text(), Path(request["err"]).read_text(), done)
            for code, request in zip(codes, requests, strict=True)
        ]

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def _operations(log):
    for line in log.read_text().splitlines() if log.exists() else ():
        yield Operation(*line.split("\t"))
