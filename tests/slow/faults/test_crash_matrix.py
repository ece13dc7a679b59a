"""Every operation of a command on the disk is made to fail, one run each, and nothing is lost.

After each fault the store is sound, but for names of writes that were interrupted; and the same line, typed
again, ends with what an undisturbed command gives, byte for byte.
"""

import json
import math
import os
import re
from collections import Counter

import pytest

from rcig_cli.store.store import STORE
from tests.slow.faults.conftest import TRIED
from tests.slow.faults.inspection import PARTIAL, difference, orphans, problems, tree
from tests.slow.faults.layer import FAULTS, Point
from tests.slow.faults.scenarios import REAL_SCENARIOS, SCENARIOS, prepare

EVERY = int(os.environ.get("RCIG_CRASH_SAMPLE", "1"))  # test every k-th point only
REAL = 12  # points of each command with real steps for each fault
ATTEMPTS = 3  # threads may come to a point in one run and not in the next
SENTENCE = re.compile(r"rcig: .*[Tt]he disk (is full|reported an input/output error): .*")
NOISE = re.compile(r"Traceback|should not have happened|[A-Za-z]*(Error|Exception)\b")


@pytest.fixture(scope="module", params=SCENARIOS)
def prepared(request, commands, tmp_path_factory):
    return prepare(commands, request.param, tmp_path_factory.mktemp("scenario"))


@pytest.fixture(scope="module", params=REAL_SCENARIOS)
def real(request, commands, tmp_path_factory):
    return prepare(commands, request.param, tmp_path_factory.mktemp("real"))


def disturb(commands, prepared, point, fault):
    """Strike at a point of a fresh command, and return what came of it."""
    for _ in range(ATTEMPTS):
        prepared.fresh()
        ran = prepared.run(commands, point=point, fault=FAULTS[fault])
        if ran.struck:
            return ran
    return None


def complaints(commands, prepared, ran, fault):
    """Everything that is wrong after a fault."""
    yield from ended(ran, fault, prepared)
    yield from problems(prepared.work)
    yield from verified(commands, prepared.work)
    finished = tree(prepared.work) == prepared.undisturbed
    if ran.code == 0 and not finished:
        yield f"it succeeded, with other {difference(tree(prepared.work), prepared.undisturbed)}"
    if finished and "distill" in prepared.scenario.arguments:
        return  # there is nothing left to go on with: the same line would start another run
    again = prepared.run(commands)
    refused = finished and prepared.scenario.there_already
    if again.code != 0 and not (refused and again.code == 2 and refused in again.err):
        yield f"run again it ended with {again.code}: {again.err[-500:]}"
    elif differing := difference(tree(prepared.work), prepared.undisturbed):
        yield f"run again it gave other {differing}"
    yield from problems(prepared.work)
    yield from verified(commands, prepared.work)


def ended(ran, fault, prepared):
    """What is wrong with how a disturbed command ended."""
    if fault == "SIGKILL":
        if ran.code != -9:
            yield f"it ended with {ran.code}, not by SIGKILL"
        return
    if ran.code not in (0, 1):
        yield f"it ended with {ran.code}: {ran.err[-500:]}"
    if NOISE.search(ran.err):
        yield f"it said {ran.err[-1500:]}"
    last = (ran.err.strip().splitlines() or [""])[-1]
    if ran.code == 1 and not SENTENCE.match(last):
        yield f"its last words are {last!r}"


def verified(commands, store):
    """What ``rcig verify`` gets wrong: nothing is damaged, and exactly what was left aside is to be named."""
    if "verify" not in commands.names or not (store / STORE).exists():
        return
    ran = commands.run("verify", "--json", "--store", store)
    found = json.loads(ran.out)
    if ran.code != 0 or found.get("problems", True):
        yield f"verify: {ran.out} {ran.err}"
    named = {one["path"] for one in found.get("orphans", ())}
    left = {path.as_posix() for path in orphans(store) if not path.name.startswith(PARTIAL)}
    if named != left:
        yield f"verify names {named}, and there are {left}"


def crash(commands, prepared, points, fault, record_property):
    """Try all these points, and fail with all that went wrong."""
    tried, failed, missed = Counter(), [], []
    for point in points:
        ran = disturb(commands, prepared, point, fault)
        if ran is None:
            missed.append(point)
            continue
        tried[prepared.name, point.verb, fault] += 1
        found = list(complaints(commands, prepared, ran, fault))
        failed += [f"{point}: {'; '.join(found)}"] if found else []
    record_property(TRIED, [(*key, count) for key, count in tried.items()])
    assert not failed, f"{len(failed)} of {len(points)}:\n" + "\n".join(failed)
    assert len(missed) <= len(points) / 20, f"not met again: {missed}"


def spread(points, count, fault):
    """So many points, evenly over all, and others for each fault."""
    count = min(count, len(points))
    offset = list(FAULTS).index(fault) / len(FAULTS)
    return [points[int((number + offset) * len(points) / count)] for number in range(count)]


def test_an_old_checkpoint_that_a_kill_left_is_removed(commands, tmp_path, record_property):
    prepared = prepare(commands, "distill", tmp_path)
    crash(commands, prepared, [Point("rename", "runs/run_1/checkpoints/0", 1)], "SIGKILL", record_property)


@pytest.mark.parametrize("fault", FAULTS)
def test_every_point_of_every_command(commands, prepared, fault, record_property):
    points = spread(prepared.points, math.ceil(len(prepared.points) / EVERY), fault)
    crash(commands, prepared, points, fault, record_property)


@pytest.mark.parametrize("fault", FAULTS)
def test_some_points_of_real_steps(commands, real, fault, record_property):
    crash(commands, real, spread(real.points, REAL, fault), fault, record_property)
