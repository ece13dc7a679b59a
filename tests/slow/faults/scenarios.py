"""The commands that are disturbed, and the stores they begin with."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.conftest import TINY
from tests.slow.faults.inspection import tree
from tests.slow.faults.layer import FAULTS, Operation, Point, points_of

DISTILL = ("distill", "digits", "--ipc", 1, "--steps", 4, "--checkpoint-every", 2, "--resume")
EVALUATE = ("evaluate", "run_1", "--networks", 1, "--steps", 2, "--width", 4, "--baseline", "none")


@dataclass(frozen=True)
class Scenario:
    """A command and what it begins with.

    Attributes
    ----------
    arguments
        The command; the same line is run again after a fault.
    begin
        ``(commands, store)``: make the store it begins with.
    alone
        Whether it runs as a process of its own, and its steps are real ones.
    there_already
        What the command says, refusing with code 2, if nothing was left to do; None if it just succeeds.
    """

    arguments: tuple
    begin: Callable
    alone: bool = False
    there_already: str | None = None


@dataclass
class Prepared:
    """A scenario with its store, the points of its command, and what it ends with undisturbed."""

    name: str
    scenario: Scenario
    base: Path
    work: Path
    operations: tuple[Operation, ...] = ()
    points: list[Point] = field(default_factory=list)
    undisturbed: dict = field(default_factory=dict)

    @property
    def arguments(self):
        """The command, with its files beside the stores."""
        return [str(each).format(folder=self.base.parent) for each in self.scenario.arguments]

    def fresh(self):
        """A store as the command begins with it."""
        shutil.rmtree(self.work, ignore_errors=True)
        if self.base.exists():
            shutil.copytree(self.base, self.work)
        return self.work

    def run(self, commands, **fault):
        """Run the command on the store that is there."""
        line = [*self.arguments, "--store", self.work]
        if self.scenario.alone:
            return commands.run_alone(*line, store=self.work, **fault)
        return commands.run(*line, store=self.work, pretend=True, **fault)


def prepare(commands, name, folder):
    """Make ready to disturb a scenario."""
    folder = Path(folder)
    one = Prepared(name, {**SCENARIOS, **REAL_SCENARIOS}[name], folder / "base", folder / "work")
    one.scenario.begin(commands, one.base)
    one.fresh()
    ran = one.run(commands)
    assert ran.code == 0, ran.out + ran.err
    one.operations, one.points, one.undisturbed = ran.operations, points_of(ran.operations), tree(one.work)
    return one


def done(commands, *arguments, store, **options):
    """Run a command that has to succeed."""
    ran = commands.run(*arguments, "--store", store, pretend=True, **options)
    assert ran.code == 0, ran.out + ran.err
    return ran


def _nothing(commands, store):
    del commands, store


def _prepared(commands, store):
    done(commands, "prepare", "digits", store=store)


def _finished(commands, store):
    _prepared(commands, store)
    done(commands, *DISTILL, store=store)


def _killed(commands, store):
    """Killed in the middle of a line of metrics, two steps after a checkpoint was last written."""
    _prepared(commands, store)
    torn = Point("write", "runs/run_1/metrics.jsonl", 4)
    arguments = [*DISTILL, "--store", store]
    ran = commands.run(*arguments, store=store, point=torn, fault=FAULTS["SIGKILL"], pretend=True)
    assert ran.code == -9
    assert not (store / "runs/run_1/metrics.jsonl").read_bytes().endswith(b"\n")


def _with_a_set(commands, store):
    _prepared(commands, store)
    draw = np.random.default_rng(0)
    images = draw.normal(size=(10, 8, 8, 1)).astype(np.float32)
    labels = np.eye(10, dtype=np.float32) - 0.1
    np.savez(store.parent / "set.npz", images=images, labels=labels)


SCENARIOS = {
    "prepare": Scenario(("prepare", "digits"), _nothing),
    "prepare again": Scenario(("prepare", "digits", "--overwrite"), _prepared),
    "distill": Scenario(DISTILL, _prepared),
    "distill, going on": Scenario(DISTILL, _killed),
    "evaluate": Scenario(EVALUATE, _finished),
    "import": Scenario(
        ("import", "{folder}/set.npz", "--dataset", "digits", "--space", "whitened", "--name", "taken"),
        _with_a_set,
        there_already="There is a run taken already",
    ),
}

# Real steps and real networks, in processes of their own: too slow for every point.
REAL_SCENARIOS = {
    "distill, really": Scenario((*DISTILL, *TINY), _prepared, alone=True),
    "evaluate, really": Scenario(EVALUATE, _finished, alone=True),
}
