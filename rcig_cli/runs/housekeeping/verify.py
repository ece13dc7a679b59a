"""Look a whole store over, or some of it, for what is no longer as it was written."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from rcig_cli.errors import Corrupt
from rcig_cli.runs.report import Report
from rcig_cli.store.audit import Look
from rcig_cli.store.audit_artifacts import (
    look_at_dataset,
    look_at_places,
    look_at_run,
    look_at_store,
    look_at_sweep,
)
from rcig_cli.store.layout import Store, open_store
from rcig_cli.store.locate import Located, everything, locate

_LOOKS = {"data set": look_at_dataset, "run": look_at_run, "sweep": look_at_sweep}


def store_at(root: Path) -> Store:
    """Open a store to verify it, even where what it says of itself is damaged.

    Raises
    ------
    NotFound
        If there is no store.
    ConfigError
        If it is something else than a store.
    """
    try:
        return open_store(root, create=False)
    except Corrupt:
        return Store(root)


def verify(store: Store, names: Sequence[str], report: Report, *, quick: bool = False) -> Look:
    """Check artifacts against what vouches for them.

    Parameters
    ----------
    store
        Where they are.
    names
        Which; all, and the store itself, where there are none.
    report
        Where progress goes.
    quick
        Whether to pass over the content of files larger than 1 MiB.

    Returns
    -------
    Look
        What was found.

    Raises
    ------
    ConfigError
        If nothing may have such a name.
    NotFound
        If nothing has it.
    """
    artifacts = [one for name in names for one in locate(store, name)] if names else everything(store)
    artifacts = list(dict.fromkeys(artifacts))
    counter = _Counter(report, artifacts)
    look = Look(store.root, quick, counter.tick)
    if not look_at_store(look, store):
        return look  # what a newer version keeps in it, who knows
    if not names:
        look_at_places(look, store)
    for one in artifacts:
        _LOOKS[one.kind](look, store, one.name)
    counter.end()
    return look


class _Counter:
    """Counts files towards the number there were at the beginning."""

    def __init__(self, report: Report, artifacts: Iterable[Located]) -> None:
        self._report = report
        self._total = max(1, sum(_files(one.path) for one in artifacts))
        self._done = 0

    def tick(self) -> None:
        # Files that no one vouches for aren't looked at, and one that a writer replaced is so again.
        self._done = min(self._done + 1, self._total - 1)
        self._report.progress("verifying", self._done, self._total)

    def end(self) -> None:
        self._report.progress("verifying", self._total, self._total)


def _files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))
