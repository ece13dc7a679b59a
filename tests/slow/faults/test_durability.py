"""Everything is forced to the disk before it gets its name, and the name itself right after.

A killed process loses nothing that it gave to the kernel, so only the order of the operations shows what a
loss of power would leave.  It is read from the log of every command.
"""

from pathlib import Path

import pytest

from rcig_cli.store.progress import PROGRESS
from tests.slow.faults.inspection import is_unfinished
from tests.slow.faults.scenarios import SCENARIOS, prepare

# A log is appended to and cut back to the checkpoint by the next process; a lock has no content to lose.
NOT_SYNCED = {"metrics.jsonl", "lock"}
# Need not outlast a loss of power: `rcig_cli.store.progress`.
NOT_KEPT = {".tmp-progress", PROGRESS}


class Disk:
    """What has not been forced to the disk yet.

    Attributes
    ----------
    contents
        Files and folders whose content has not.
    names
        Folders in which a name that readers see has not.
    published
        Files and folders that got such a name.
    wrong
        What got such a name too early.
    """

    def __init__(self, store):
        self.store = store
        self.contents, self.names = set(), set()
        self.published = 0
        self.wrong = []

    def apply(self, operation):
        path = Path(operation.file)
        if path.name in NOT_KEPT:
            return
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
        moved = self.below(path)
        if self.visible(to):
            not_synced = {each for each in moved | self.names if each.name not in NOT_SYNCED}
            self.wrong += [f"{each} when {to} got its name" for each in sorted(not_synced)]
            self.names.add(to.parent)
            self.published += 1
        self.contents -= moved | self.below(to)
        self.contents |= {to.parent} | {to / each.relative_to(path) for each in moved}

    def visible(self, path):
        return not is_unfinished(path.relative_to(self.store))

    def below(self, path):
        return {each for each in self.contents if each == path or path in each.parents}


@pytest.mark.parametrize("name", SCENARIOS)
def test_names_are_given_to_what_is_on_the_disk(commands, name, tmp_path):
    scenario = prepare(commands, name, tmp_path)
    disk = Disk(scenario.work)
    for operation in scenario.operations:
        disk.apply(operation)
    assert disk.wrong == []
    assert disk.names == set()
    assert disk.published >= 1
