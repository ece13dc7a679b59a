"""Each fuzz target for a moment, from a fixed seed: hours of it are `make fuzz`."""

import mmap
import os
import subprocess
import sys
import time
from random import Random

import pytest

from rcig_cli.errors import Corrupt
from tests.conftest import ROOT
from tests.fuzz import mutation
from tests.fuzz.campaign import all_targets, mutated
from tests.fuzz.guard import Guard, TooSlow
from tests.fuzz.target import Target, outcome

TARGETS = all_targets()
SECONDS = 3.0  # for each target, at most
MOST, LEAST = 200, 5


@pytest.fixture(scope="module")
def guard(tmp_path_factory):
    return Guard(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in ("arguments", "commands")])
def test_nothing_but_refusals(guard, name):
    """The seeds, then mutants of them; whole commands have a process of their own, below."""
    target, random = TARGETS[name], Random(name)
    seeds = [bytes(seed) for seed in target.seeds()]
    end = time.monotonic() + SECONDS
    with guard.on_duty(1 << 62) as scratch:  # imports are nobody's memory
        outcome(target, seeds[0], scratch)
    for number in range(MOST):
        if number >= LEAST and time.monotonic() > end:
            break
        data = (
            seeds[number] if number < min(len(seeds), 20) else mutated(target, random.choice(seeds), random)
        )
        with guard.on_duty(target.memory) as scratch:
            assert outcome(target, data, scratch) in ("accepted", "refused")


@pytest.mark.parametrize("name", ["arguments", "commands"])
def test_whole_commands_in_a_campaign(tmp_path, name):
    """What a contributor types, with few inputs: nothing fails, and the table says so."""
    command = [sys.executable, "-m", "tests.fuzz.campaign", name, "--inputs", "40", "--engine", "hypothesis"]
    ended = subprocess.run([*command, "--failures", tmp_path / "failures"], cwd=ROOT, capture_output=True,
                           text=True, env=os.environ | {"TMPDIR": str(tmp_path)})  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    row = next(line for line in ended.stdout.splitlines() if line.startswith(name)).split()
    inputs, accepted, refused, failed = map(int, row[1:5])
    assert inputs == accepted + refused >= 40
    assert failed == 0
    assert list((tmp_path / "failures").iterdir()) == []


OFFENCES = ("a write elsewhere", "a folder elsewhere", "a write through a link", "a program", "memory",
            "a traceback", "an error that isn't ours", "a refusal without a word", "no end")  # fmt: skip


def offend(kind, scratch):
    canary = scratch.parent / "canary"
    match kind:
        case "a write elsewhere":
            (canary / "file").write_bytes(b"")
        case "a folder elsewhere":
            (canary / "new").mkdir()
        case "a write through a link":
            (scratch / "link").symlink_to(canary / "file")
            (scratch / "link").write_bytes(b"")
        case "a program":
            subprocess.run(["true"])
        case "memory":
            mmap.mmap(-1, 64 << 20).write(bytes(64 << 20))
        case "a traceback":
            print("Traceback (most recent call last)", file=sys.stderr)
        case "an error that isn't ours":
            raise KeyError(kind)
        case "a refusal without a word":
            raise Corrupt("")
        case "no end":
            time.sleep(60)


def fed(feed, scratch):
    return outcome(Target("made up", lambda: [b""], feed, 1 << 20), b"", scratch)


@pytest.mark.parametrize("kind", OFFENCES)
def test_the_guard_sees(tmp_path, kind):
    """A fuzzer that can't fail shows nothing."""
    guard = Guard(tmp_path, seconds=0.2 if kind == "no end" else 60)
    with pytest.raises((AssertionError, KeyError, OSError, TooSlow)), guard.on_duty(1 << 20) as scratch:
        fed(lambda _, there: offend(kind, there), scratch)


def test_the_guard_lets_pass_what_is_allowed(tmp_path):
    guard = Guard(tmp_path)
    with guard.on_duty(1 << 22) as scratch:
        assert fed(lambda data, there: (there / "file").write_bytes(data), scratch) == "accepted"
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]


@pytest.mark.parametrize("seed", range(30))
def test_a_mutant_of_json_is_written_and_leaves_the_document_alone(seed):
    document = {"a": [1, 2.5, "x"], "b": {"c": None, "d": True}}
    mutation.dump_json(mutation.mutate_json(document, Random(seed)), Random(seed))
    assert document == {"a": [1, 2.5, "x"], "b": {"c": None, "d": True}}
    assert isinstance(mutation.mutate_bytes(bytes(range(50)), Random(seed)), bytes)
