"""What the tests of faults share: the layer, and the count of what was tried."""

from collections import Counter

import pytest

from tests.faults.layer import Commands, build

TRIED = "crash points"
LONG = ("crash", "soak")  # marks of what takes minutes, and the targets of make that run it


def pytest_collection_modifyitems(config, items):
    """Skip what takes minutes, unless it was asked for by its mark."""
    for item in items:
        for mark in LONG:
            if item.get_closest_marker(mark) and mark not in config.option.markexpr:
                item.add_marker(pytest.mark.skip(reason=f"takes minutes: make {mark}"))


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
    """Print how many crash points were tried."""
    total = Counter()
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    for name, value in (each for report in reports for each in report.user_properties):
        if name == TRIED:
            total.update(value)
    if total:
        terminalreporter.section("crash points tried")
        for what, count in sorted(total.items()):
            terminalreporter.write_line(f"{count:7d}  {what}")
        terminalreporter.write_line(f"{total.total():7d}  in all")
