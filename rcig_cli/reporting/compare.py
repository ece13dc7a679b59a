"""Runs side by side: the settings in which they differ, and what they were judged to be worth.

Only what is in the store already: nothing is trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcig_cli.presets.config import DistillConfig, flat
from rcig_cli.reporting.measurements import read_measurements
from rcig_cli.store.documents import canonical
from rcig_cli.store.layout import Store
from rcig_cli.store.manifest import RunManifest

Record = Mapping[str, Any]

_OF_IMPORTED = ("dataset", "ipc")  # the rest of its configuration says how it is judged


@dataclass(frozen=True)
class Row:
    """What was found under one protocol.

    Attributes
    ----------
    protocol
        How it was judged.
    evaluations
        The newest evaluation of each run under it, as it was stored, or None.
    """

    protocol: Record
    evaluations: tuple[Record | None, ...]

    def of(self, name: str) -> list[Any]:
        """One entry of each run's evaluation, such as its accuracy; None where there is none."""
        return [each[name] if each else None for each in self.evaluations]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    runs
        Their manifests.
    differences
        Each setting in which they differ, with its value in each; None where it isn't known.
    rows
        Protocols under which some of them were judged, those that most were judged under first.
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
                    **{name: row.of(name) for name in ("accuracy", "random_subset", "paper")},
                }
                for row in self.rows
            ],
        }


def compare(store: Store, names: Sequence[str]) -> Comparison:
    """Put runs side by side.

    Raises
    ------
    NotFound
        If there is no run of one of these names.
    Corrupt
        If a run's manifest is damaged.
    """
    runs = tuple(store.run(name) for name in dict.fromkeys(names))
    listings = [read_measurements(store.run_path(run.name), "evaluations") for run in runs]
    newest = [{_key(record): record for record in listing.found} for listing in listings]
    protocols = {key: record["protocol"] for found in newest for key, record in found.items()}
    rows = [Row(protocol, tuple(found.get(key) for found in newest)) for key, protocol in protocols.items()]
    rows.sort(key=lambda row: row.evaluations.count(None))
    unreadable = tuple(problem.message for listing in listings for problem in listing.problems)
    return Comparison(runs, _differences(runs), tuple(rows), unreadable)


def _key(record: Record) -> str:
    return canonical(dict(record["protocol"]))


def _differences(runs: Sequence[RunManifest]) -> dict[str, tuple[Any, ...]]:
    settings = [_settings(run) for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    columns = {name: tuple(one.get(name) for one in settings) for name in names}
    differing = {name for name in names if len({one[name] for one in settings if name in one}) > 1}
    return {name: values for name, values in columns.items() if name in differing}


def _settings(run: RunManifest) -> dict[str, Any]:
    """What a run was made with; of an imported one only what is known of it."""
    settings = flat(DistillConfig.from_json(run.config))
    return {name: settings[name] for name in _OF_IMPORTED} if run.imported else settings
