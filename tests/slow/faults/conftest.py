"""What the tests of faults share: the layer, and the count of what was tried."""

from collections import Counter

import pytest

from tests.slow.faults.layer import FAULTS, Commands, build

TRIED = "crash points"


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """Commands that can be made to fail."""
    folder = tmp_path_factory.mktemp("faults")
    library, reason = build(folder)
    if library is None:
        pytest.skip(reason)
    running = Commands(library, folder)
    yield running
    running.close()


def pytest_terminal_summary(terminalreporter):
    """Print how many crash points were tried, by command and verb, with a column for each fault."""
    tried = Counter()
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    for name, counts in (each for report in reports for each in report.user_properties):
        if name == TRIED:
            tried.update({tuple(key): count for *key, count in counts})
    if not tried:
        return
    terminalreporter.section("crash points tried")
    terminalreporter.write_line(_row("", "", FAULTS))
    for command, verb in sorted({key[:2] for key in tried}):
        terminalreporter.write_line(_row(command, verb, [tried[command, verb, each] for each in FAULTS]))
    each = [sum(tried[key] for key in tried if key[2] == fault) for fault in FAULTS]
    terminalreporter.write_line(_row("all", "", each) + f"   together {tried.total()}")


def _row(command, verb, cells):
    return f"{command:20} {verb:9}" + "".join(f"{cell!s:>11}" for cell in cells)
