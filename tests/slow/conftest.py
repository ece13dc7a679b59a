"""A count of the crash points that were tested; pytest-xdist's main process reads this file only."""

from collections import Counter

from tests.slow.faults.injection import FAULTS, TESTED


def pytest_terminal_summary(terminalreporter):
    """Print how many points of each command were tested with each fault."""
    tested = Counter()
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, value in report.user_properties:
            if name == TESTED:
                command, fault, count = value
                tested[command, fault] += count
    if tested:
        terminalreporter.section("crash points tested")
        terminalreporter.write_line(f"{'':20}" + "".join(f"{fault:>11}" for fault in FAULTS))
        for command in sorted({command for command, _ in tested}):
            counts = "".join(f"{tested[command, fault]:>11}" for fault in FAULTS)
            terminalreporter.write_line(f"{command:20}{counts}")
        terminalreporter.write_line(f"in all: {tested.total()}")
