"""Runs side by side: the settings in which they differ, and their evaluations, read from the store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.evaluate.protocol import evaluation_protocol
from rcig_cli.settings import values_of
from rcig_cli.store.documents import canonical
from rcig_cli.store.records import RunManifest
from rcig_cli.store.results import read_results
from rcig_cli.store.store import Store

_ANY = ("networks", "seed")  # settings of a run's own protocol that may differ
MEASURED = ("accuracy", "random_subset", "paper")


def compare(store: Store, names: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Compare runs.

    Returns
    -------
    document : dict
        ``runs``, with the size of each set and the file of each imported one; ``differences``, each setting
        in which they differ with its value in each run, None where it is not known; and ``evaluations``, an
        entry for each protocol, those of most runs first: ``protocol``, and for ``accuracy``,
        ``random_subset`` and ``paper`` a list of each run's newest or None.
    problems : list of str
        Messages about evaluations that can't be read.

    Raises
    ------
    NotFound
        If there is no run of one of these names.
    Corrupt
        If a run's manifest is damaged.
    """
    runs = [store.with_current_status(store.run(name)) for name in dict.fromkeys(names)]
    listings = [read_results(store.run_path(run.name), "evaluations") for run in runs]
    newest = [{canonical(record["protocol"]): record for record in listing.found} for listing in listings]
    protocols = {key: record["protocol"] for found in newest for key, record in found.items()}
    rows = [(protocol, [found.get(key) for found in newest]) for key, protocol in protocols.items()]
    rows.sort(key=lambda row: row[1].count(None))
    document = {
        "runs": [
            {
                **{"run": run.name, "dataset": run.dataset, "status": run.status},
                "imported_from": run.parents["file"]["name"] if run.imported else None,
                **(run.size or {}),
            }
            for run in runs
        ],
        "differences": {name: list(values) for name, values in differences(runs).items()},
        "evaluations": [
            {
                "protocol": protocol,
                **{name: [each and each[name] for each in evaluations] for name in MEASURED},
            }
            for protocol, evaluations in rows
        ],
    }
    return document, [problem for listing in listings for problem in listing.problems]


def best_evaluation(evaluations: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the evaluation of highest mean accuracy, which stands for a run; None if there is none."""
    return max(evaluations, key=lambda each: float(each["accuracy"]["mean"]), default=None)


@dataclass(frozen=True)
class Headline:
    """The evaluation that stands for a run in lists and in the titles of its pictures.

    Attributes
    ----------
    evaluation
        As the store has it.
    is_usual
        Whether it is by the run's own protocol, the one that `rcig evaluate` uses by default.
    """

    evaluation: Mapping[str, Any]
    is_usual: bool


def headline_of(config: DistillConfig, evaluations: Sequence[Mapping[str, Any]]) -> Headline | None:
    """Return the newest evaluation by a run's own protocol, or else the newest one; None if there is none.

    Parameters
    ----------
    config
        The run's configuration.
    evaluations
        Of the run, the oldest first.  Their seeds and numbers of networks may be any.
    """

    def is_usual(evaluation: Mapping[str, Any]) -> bool:
        own = values_of(evaluation_protocol(config, evaluation["images"]))
        protocol = evaluation["protocol"]
        return all(own.get(name) == value for name, value in protocol.items() if name not in _ANY)

    usual = [each for each in evaluations if is_usual(each)]
    if usual:
        return Headline(usual[-1], is_usual=True)
    return Headline(evaluations[-1], is_usual=False) if evaluations else None


def differences(runs: Sequence[RunManifest]) -> dict[str, tuple[Any, ...]]:
    """Return each setting in which runs differ, with its value in each; None where it is not known."""
    settings = [_settings(run) for run in runs]
    names = dict.fromkeys(name for one in settings for name in one)
    differing = [name for name in names if len({repr(one[name]) for one in settings if name in one}) > 1]
    return {name: tuple(one.get(name) for one in settings) for name in differing}


def _settings(run: RunManifest) -> dict[str, Any]:
    """The known settings of a run; those of the distillation of an imported set are not."""
    config = DistillConfig.from_stored(run.config)
    return {"dataset": config.dataset, **config.to_decode()} if run.imported else config.to_json()
