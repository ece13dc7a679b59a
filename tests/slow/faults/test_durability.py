"""What gets a name has been forced to the disk before, and the name itself is forced to the disk next.

A killed process loses nothing that it handed to the kernel, so only the order of the operations can show
what a loss of power would leave: here it is read off the log of every command.
"""

from pathlib import Path

import pytest

from tests.slow.faults.inspection import orphan
from tests.slow.faults.scenarios import SCENARIOS, prepare

# Appended to as a run goes on, and cut back to the checkpoint by the next; and what nobody reads.
NOT_FORCED = {"metrics.jsonl", "lock"}


class Disk:
    """What the disk doesn't have yet: contents of files and folders, and names that readers can see."""

    def __init__(self, store):
        self.store = store
        self.contents, self.names = set(), set()
        self.published = 0
        self.wrong = []

    def meet(self, operation):
        path = Path(operation.file)
        match operation.verb:
            case "create" | "write" | "truncate":
                self.contents |= {path, path.parent} if operation.verb == "create" else {path}
            case "mkdir":
                self.contents |= {path, path.parent}
                self.names |= {path.parent} if path != self.store and self.visible(path) else set()
            case "fsync":
                self.contents.discard(path)
                self.names.discard(path)
            case "unlink" | "rmdir":
                self.contents.discard(path)
            case "rename" | "link":
                self.rename(path, Path(operation.to))

    def rename(self, path, to):
        moved = self.under(path)
        if self.visible(to):
            unforced = {each for each in moved | self.names if each.name not in NOT_FORCED}
            self.wrong += [f"{each} when {to} got its name" for each in sorted(unforced)]
            self.names.add(to.parent)
            self.published += 1
        self.contents -= moved | self.under(to)
        self.contents |= {to.parent} | {to / each.relative_to(path) for each in moved}

    def visible(self, path):
        return not orphan(path.relative_to(self.store))

    def under(self, path):
        return {each for each in self.contents if each == path or path in each.parents}


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_gets_a_name_is_on_the_disk(commands, name, tmp_path):
    scenario = prepare(commands, name, tmp_path)
    disk = Disk(scenario.work)
    for operation in scenario.operations:
        disk.meet(operation)
    assert disk.wrong == []
    assert disk.names == set()
    assert disk.published >= 1
