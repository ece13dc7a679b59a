"""Runs side by side: the settings in which they differ, and their evaluations, read from the store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcig_cli.presets.config import DistillConfig
from rcig_cli.store.documents import canonical
from rcig_cli.store.records import RunManifest
from rcig_cli.store.results import read_results
from rcig_cli.store.store import Store

Record = Mapping[str, Any]

_OF_IMPORTED = ("dataset", "ipc")  # what is known of an imported run; its other settings are defaults


@dataclass(frozen=True)
class Row:
    """The evaluations under one protocol.

    Attributes
    ----------
    protocol
        How networks were trained.
    evaluations
        The newest evaluation of each run under it, as it was stored, or None.
    """

    protocol: Record
    evaluations: tuple[Record | None, ...]

    def values(self, name: str) -> list[Any]:
        """One entry of each run's evaluation, such as "accuracy"; None where there is none."""
        return [each.get(name) if each else None for each in self.evaluations]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    runs
        Their manifests.
    differences
        Each setting in which they differ, with its value in each run; None where it is not known.
    rows
        One for each protocol of any run, those under which most runs were evaluated first.
    unreadable
        What is wrong with evaluations that can't be read.
    """

    runs: tuple[RunManifest, ...]
    differences: Mapping[str, tuple[Any, ...]]
    rows: tuple[Row, ...]
    unreadable: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {
            "runs": [{"run": r.name, "dataset": r.dataset, "status": r.status} for r in self.runs],
            "differences": {name: list(values) for name, values in self.differences.items()},
            "evaluations": [
                {
                    "protocol": row.protocol,
                    **{name: row.values(name) for name in ("accuracy", "random_subset", "paper")},
                }
                for row in self.rows
            ],
        }


def compare(store: Store, names: Sequence[str]) -> Comparison:
    """Compare runs.

    Raises
    ------
    NotFound
        If there is no run of one of these names.
    Corrupt
        If a run's manifest is damaged.
    """
    runs = tuple(store.run(name) for name in dict.fromkeys(names))
    listings = [read_results(store.run_path(run.name), "evaluations") for run in runs]
    newest = [{canonical(record["protocol"]): record for record in listing.found} for listing in listings]
    protocols = {key: record["protocol"] for found in newest for key, record in found.items()}
    rows = [Row(protocol, tuple(found.get(key) for found in newest)) for key, protocol in protocols.items()]
    rows.sort(key=lambda row: row.evaluations.count(None))
    unreadable = tuple(problem.message for listing in listings for problem in listing.problems)
    return Comparison(runs, differences(runs), tuple(rows), unreadable)


def differences(runs: Sequence[RunManifest]) -> dict[str, tuple[Any, ...]]:
    """Return each setting in which runs differ, with its value in each; None where it is not known."""
    settings = [_settings(run) for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({one[name] for one in settings if name in one}) > 1]
    return {name: tuple(one.get(name) for one in settings) for name in differing}


def _settings(run: RunManifest) -> dict[str, Any]:
    settings = DistillConfig.from_json(run.config).to_json()
    return {name: settings[name] for name in _OF_IMPORTED} if run.imported else settings
