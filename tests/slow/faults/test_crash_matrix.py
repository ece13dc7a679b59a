"""Every operation of a command on the disk is killed or made to fail, in one run each, and nothing is lost.

After each fault the store is intact, except for temporary files of interrupted writes.  The same command,
run again, gives what an undisturbed one gives, byte for byte.
"""

import os
import re

import pytest

from tests.slow.faults.injection import FAULTS, TESTED, Point
from tests.slow.faults.inspection import difference, problems, tree
from tests.slow.faults.scenarios import SCENARIOS, prepare

EVERY = int(os.environ.get("RCIG_CRASH_SAMPLE", "1"))  # test only every k-th point
ATTEMPTS = 3  # threads may reach a point in one run and not in the next
MESSAGE = re.compile(r"rcig: .*[Tt]he disk (is full|reported an input/output error): .*")
UNEXPECTED = re.compile(r"Traceback|Internal error|[A-Za-z]*(Error|Exception)\b")


@pytest.fixture(scope="module", params=SCENARIOS)
def prepared(request, commands, tmp_path_factory):
    return prepare(commands, request.param, tmp_path_factory.mktemp("scenario"))


def inject(commands, prepared, point, fault):
    """Run the command on a fresh store with a fault at the point; None if it never reaches the point."""
    for _ in range(ATTEMPTS):
        prepared.reset()
        result = prepared.run(commands, point=point, fault=FAULTS[fault])
        if result.struck:
            return result
    return None


def failures(commands, prepared, result, fault):
    """Yield everything that is wrong after a fault, and after the command was run again."""
    yield from wrong_end(result, fault)
    yield from problems(prepared.work)
    complete = tree(prepared.work) == prepared.undisturbed
    if result.code == 0 and not complete:
        yield f"it succeeded, with other {difference(tree(prepared.work), prepared.undisturbed)}"
    if complete and "distill" in prepared.scenario.arguments:
        return  # there is nothing to resume: the same command would start another run
    again, refusal = prepared.run(commands), prepared.scenario.refusal
    if again.code != 0 and not (complete and refusal and again.code == 2 and refusal in again.err):
        yield f"run again, it ended with {again.code}: {again.err[-500:]}"
    elif different := difference(tree(prepared.work), prepared.undisturbed):
        yield f"run again, it gave other {different}"
    yield from problems(prepared.work)


def wrong_end(result, fault):
    """Yield what is wrong with the exit code and the messages of a command that had a fault."""
    if fault == "SIGKILL":
        if result.code != -9:
            yield f"it ended with {result.code}, not by SIGKILL"
        return
    if result.code not in (0, 1):
        yield f"it ended with {result.code}: {result.err[-500:]}"
    if UNEXPECTED.search(result.err):
        yield f"it printed {result.err[-1500:]}"
    last = (result.err.strip().splitlines() or [""])[-1]
    if result.code == 1 and not MESSAGE.match(last):
        yield f"its last message is {last!r}"


def check_points(commands, prepared, points, fault, record_property):
    """Inject a fault at each point, and fail with everything that went wrong."""
    failed, missed = [], []
    for point in points:
        result = inject(commands, prepared, point, fault)
        if result is None:
            missed.append(point)
        elif found := list(failures(commands, prepared, result, fault)):
            failed.append(f"{point}: {'; '.join(found)}")
    record_property(TESTED, (prepared.name, fault, len(points) - len(missed)))
    assert not failed, f"{len(failed)} of {len(points)}:\n" + "\n".join(failed)
    assert len(missed) <= len(points) / 20, f"not reached: {missed}"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_point(commands, prepared, fault, record_property):
    offset = list(FAULTS).index(fault) * EVERY // len(FAULTS)  # a sample differs from fault to fault
    check_points(commands, prepared, prepared.points[offset::EVERY], fault, record_property)


def test_an_old_checkpoint_that_was_being_removed_when_the_process_was_killed(
    commands, tmp_path, record_property
):
    prepared = prepare(commands, "distill", tmp_path)
    points = [Point("rename", "runs/run_1/checkpoints/0", 1)]
    check_points(commands, prepared, points, "SIGKILL", record_property)
