"""Reading what was measured on a run: only what has the numbers that tables, pages and plots are made of.

The store takes any record; what a file of another version, or of somebody else, may hold is looked over here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rcig_cli.errors import Corrupt
from rcig_cli.store.checks import Check, flag, having, mapping, natural, number, or_null, text, wrong_fields
from rcig_cli.store.listing import Listing
from rcig_cli.store.metrics import MetricsLog
from rcig_cli.store.names import shorten
from rcig_cli.store.results import Kind, read_results

Record = dict[str, Any]


def _is_list_of(value: Any, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and bool(value) and all(map(holds, value))


_VALUES = Check("numbers", lambda value: _is_list_of(value, number.holds))
_SPREAD = having("an object with a mean", {"mean": number}, {"std": number, "values": _VALUES})
_MEASURED = having("an object with a mean and values", {"mean": number, "values": _VALUES}, {"std": number})
_OPTIONAL = {"width": or_null(natural), "depth": or_null(natural), "hard_labels": flag, "flip": flag}
_NETWORK = {
    **{"architecture": text, "normalization": text, "networks": natural, "seed": natural},
    "learning_rate": number,
}
_STEPS = Check("numbers of steps", lambda value: _is_list_of(value, natural.holds))
_TARGET = having("a target", {"auc": mapping("AUCs by attack", lambda _: True, _SPREAD)},
                 {"accuracy": or_null(_SPREAD)})  # fmt: skip
_CHECKS: Mapping[Kind, Mapping[str, Check]] = {
    "evaluations": {
        "architecture": text,
        "accuracy": _MEASURED,
        "random_subset": or_null(_MEASURED),
        "paper": or_null(_SPREAD),
        "protocol": having("a protocol", {**_NETWORK, "steps": natural, "augment": flag}, _OPTIONAL),
    },
    "attacks": {
        "protocol": having("a protocol", {**_NETWORK, "steps": _STEPS}, _OPTIONAL),
        "targets": mapping("targets by name", lambda _: True, _TARGET),
    },
    "timings": dict.fromkeys(("steps", "milliseconds_per_step", "seconds"), number),
}


def read_measurements(run_path: Path, kind: Kind) -> Listing[Record]:
    """Return the records of a run as `read_results` does; those without what is shown of them are problems.

    Attacks without a protocol, which add to others, are looked at no further.
    """

    def wrong(record: Record) -> list[str]:
        alone = kind != "attacks" or "protocol" in record
        return wrong_fields(record, _CHECKS[kind]) if alone else []

    return read_results(run_path, kind, wrong)


def read_log(path: Path) -> list[Record]:
    """Read a run's log: numbers, or None where one wasn't finite.

    Raises
    ------
    Corrupt
        If it is damaged, or holds anything else.
    """
    records = MetricsLog(path).read()
    for line, record in enumerate(records, 1):
        wrong = [name for name, value in record.items() if value is not None and not number.holds(value)]
        if wrong:
            held = f"{shorten(wrong[0])} is {shorten(record[wrong[0]])}"
            raise Corrupt(f"Line {line} of {path} is damaged: {held}, and no number.")
    return records
