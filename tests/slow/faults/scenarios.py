"""The commands that faults are injected into, and the stores they start from."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.slow.faults.injection import FAULTS, Operation, Point, points_of
from tests.slow.faults.inspection import tree

DISTILL = ("distill", "digits", "--ipc", 1, "--steps", 4, "--checkpoint-every", 2, "--resume")
EVALUATE = ("evaluate", "run_1", "--networks", 1, "--steps", 2, "--width", 4, "--baseline", "none")
IMPORT = ("import", "{folder}/set.npz", "--dataset", "digits", "--space", "whitened", "--name", "taken")


@dataclass(frozen=True)
class Scenario:
    """A command, and the store it starts from.

    Attributes
    ----------
    arguments
        The command, which is run again after a fault.
    start
        ``(commands, store)``: makes the store.
    refusal
        What the command says, with exit code 2, if it had already done all its work; None if it succeeds.
    """

    arguments: tuple
    start: Callable
    refusal: str | None = None


@dataclass
class Prepared:
    """A scenario with its store, and the operations and result of its command without a fault.

    Attributes
    ----------
    base, work
        The store that the command starts from, and the one that it changes.
    operations, points
        The operations of the command on files, and each as a point.
    undisturbed
        The `tree` of the store after the command.
    """

    name: str
    scenario: Scenario
    base: Path
    work: Path
    operations: tuple[Operation, ...] = ()
    points: list[Point] = field(default_factory=list)
    undisturbed: dict = field(default_factory=dict)

    def reset(self):
        """Make the store as the command starts from it."""
        shutil.rmtree(self.work, ignore_errors=True)
        if self.base.exists():
            shutil.copytree(self.base, self.work)
        return self.work

    def run(self, commands, **injected):
        """Run the command on the store as it is."""
        arguments = [str(each).format(folder=self.base.parent) for each in self.scenario.arguments]
        return commands.run(*arguments, "--store", self.work, store=self.work, **injected)


def prepare(commands, name, folder):
    """Make the store of a scenario, and run its command without a fault."""
    one = Prepared(name, SCENARIOS[name], folder / "base", folder / "work")
    one.scenario.start(commands, one.base)
    one.reset()
    result = one.run(commands)
    assert result.code == 0, result.out + result.err
    one.operations, one.points = result.operations, points_of(result.operations)
    one.undisturbed = tree(one.work)
    return one


def run(commands, *arguments, store):
    """Run a command that has to succeed."""
    result = commands.run(*arguments, "--store", store)
    assert result.code == 0, result.out + result.err


def _nothing(commands, store):
    del commands, store


def _digits(commands, store):
    run(commands, "prepare", "digits", store=store)


def _finished_run(commands, store):
    _digits(commands, store)
    run(commands, *DISTILL, store=store)


def _killed_run(commands, store):
    """Make a run that was killed while it wrote a line of metrics, two steps after its newest checkpoint."""
    _digits(commands, store)
    point = Point("write", "runs/run_1/metrics.jsonl", 4)
    result = commands.run(*DISTILL, "--store", store, store=store, point=point, fault=FAULTS["SIGKILL"])
    assert result.code == -9
    assert not (store / "runs/run_1/metrics.jsonl").read_bytes().endswith(b"\n")


def _set_to_import(commands, store):
    _digits(commands, store)
    images = np.random.default_rng(0).normal(size=(10, 8, 8, 1)).astype(np.float32)
    np.savez(store.parent / "set.npz", images=images, labels=np.eye(10, dtype=np.float32) - 0.1)


SCENARIOS = {
    "prepare": Scenario(("prepare", "digits"), _nothing),
    "prepare again": Scenario(("prepare", "digits", "--overwrite"), _digits),
    "distill": Scenario(DISTILL, _digits),
    "resume": Scenario(DISTILL, _killed_run),
    "evaluate": Scenario(EVALUATE, _finished_run),
    "import": Scenario(IMPORT, _set_to_import, refusal="There is a run taken already"),
}
