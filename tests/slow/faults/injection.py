"""Run commands whose file operations fail, or are killed, at a chosen point.

``faults.c`` is loaded with LD_PRELOAD and intercepts every operation on files of a store.  Commands run in
children that Python's fork server starts: it has imported everything, so that a command costs what it does.
"""

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

CHILD = "tests.slow.faults.child"
TIMEOUT = 120  # seconds for a command


@dataclass(frozen=True)
class Fault:
    """The effect of a fault at a point; the kinds are those of ``faults.c``."""

    kind: int  # 1: the process is killed, 2: the operation fails, 3: this and all later ones fail
    error: int = 0


TESTED = "crash points"  # the name of a test's property: command, fault, number of points
FAULTS = {
    "SIGKILL": Fault(1),
    "EIO": Fault(2, errno.EIO),
    "ENOSPC": Fault(2, errno.ENOSPC),
    "full disk": Fault(3, errno.ENOSPC),
}


@dataclass(frozen=True)
class Point:
    """The occurrence-th operation (from 1) of a kind on a path."""

    verb: str
    path: str
    occurrence: int

    def __str__(self):
        return f"{self.verb} {self.path} #{self.occurrence}"


@dataclass(frozen=True)
class Operation:
    """A line of the log that ``faults.c`` writes.

    Attributes
    ----------
    verb, path
        What is done, and where in the store, with random parts of names as "*".
    file, to
        The same as an absolute path, and the new name of a rename or link.
    outcome
        "struck" at the point, "refused" after it on a full disk, otherwise empty.
    """

    verb: str
    path: str
    file: str
    to: str
    outcome: str


@dataclass(frozen=True)
class Result:
    """What a command returned, and the operations that were intercepted.

    The code is less than 0 for a signal, and None where the command ran into the time limit.
    """

    code: int | None
    out: str
    err: str
    operations: tuple[Operation, ...] = ()

    @property
    def struck(self):
        return any(operation.outcome == "struck" for operation in self.operations)


def points_of(operations):
    """Return every operation as a point, in order."""
    seen, points = Counter(), []
    for operation in operations:
        key = operation.verb, operation.path
        seen[key] += 1
        points.append(Point(*key, seen[key]))
    return points


def compile_library(folder):
    """Compile ``faults.c``; return the library, or None and the reason."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not sys.platform.startswith("linux") or compiler is None:
        return None, "injecting faults needs Linux and a C compiler"
    library, source = folder / "faults.so", Path(__file__).with_name("faults.c")
    command = [compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    return (
        (None, f"faults.c does not compile here: {done.stderr[:500]}") if done.returncode else (library, "")
    )


class Commands:
    """Runs commands, with fake training steps, in children of a fork server.

    Parameters
    ----------
    library
        The compiled ``faults.c``.
    folder
        For the output of the commands.
    """

    def __init__(self, library, folder):
        self.folder = folder
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([CHILD])
        before = dict(os.environ)
        os.environ.update(LD_PRELOAD=str(library), PYTHONPATH=str(ROOT))
        try:
            self.run("--version")  # starts the server
        finally:
            os.environ.clear()
            os.environ.update(before)

    def run(self, *arguments, store=None, point=None, fault=None):
        """Run ``rcig ARGUMENTS``; log the operations on files in `store`, and inject a fault at the point."""
        log = self.folder / "log"
        log.unlink(missing_ok=True)
        armed = store and {
            "texts": [str(store), str(log), f"{point.verb} {point.path}" if point else ""],
            "numbers": [point.occurrence, fault.kind, fault.error] if point else [0, 0, 0],
        }
        code, out, err = self._wait(self._start(arguments, 0, armed), 0)
        lines = log.read_text().splitlines() if log.exists() else ()
        return Result(code, out, err, tuple(Operation(*line.split("\t")) for line in lines))

    def at_once(self, *commands):
        """Run several commands at the same time, without faults."""
        for index in range(len(commands)):
            self.err(index).unlink(missing_ok=True)
        children = [self._start(arguments, index, None) for index, arguments in enumerate(commands)]
        return [Result(*self._wait(child, index)) for index, child in enumerate(children)]

    def err(self, index):
        """Return the file that the index-th of the commands at once writes its messages to."""
        return self.folder / f"err-{index}"

    def _start(self, arguments, index, armed):
        from tests.slow.faults.child import run_command

        request = [str(each) for each in arguments], str(self.folder / f"out-{index}"), str(self.err(index))
        child = self._context.Process(target=run_command, args=(*request, armed))
        child.start()
        return child

    def _wait(self, child, index):
        child.join(TIMEOUT)
        code = child.exitcode
        if code is None:
            child.kill()
            child.join()
        child.close()
        return code, (self.folder / f"out-{index}").read_text(), self.err(index).read_text()
