"""From a name that a user gives to the artifacts that have it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rcig_cli.errors import ConfigError
from rcig_cli.store import names
from rcig_cli.store.layout import Store

Kind = Literal["data set", "run", "sweep"]

_PLACES: dict[str, Kind] = {"datasets": "data set", "runs": "run", "sweeps": "sweep"}


@dataclass(frozen=True)
class Located:
    """An artifact, damaged or not.

    Parameters
    ----------
    kind, name, path
        What it is, what it is called, and its folder (or a link under its name).
    """

    kind: Kind
    name: str
    path: Path


def locate(store: Store, name: str) -> list[Located]:
    """Find what has a name.

    Parameters
    ----------
    store
        Where to look.
    name
        Of a data set, a run or a sweep; with ``datasets/``, ``runs/`` or ``sweeps/`` before it, of one of
        these only.

    Returns
    -------
    list
        At least one; two where a data set and an imported run share the name.

    Raises
    ------
    ConfigError
        If nothing may have that name.
    NotFound
        If nothing has it; the sentence names the nearest.
    """
    place, slash, rest = name.rpartition("/")
    if slash and place not in _PLACES:
        raise ConfigError(f"{names.shorten(name)} names no artifact: give a name that `rcig list` shows.")
    kinds = [_PLACES[place]] if place else list(_PLACES.values())
    found = [one for one in _candidates(store, rest, kinds) if os.path.lexists(one.path)]
    if not found:
        _complain(store, rest, kinds)
    return found


def locate_one(store: Store, name: str) -> Located:
    """Find the one artifact of a name, as `locate` does.

    Raises
    ------
    ConfigError
        If nothing may have that name, or two have it.
    NotFound
        If nothing has it.
    """
    found = locate(store, name)
    if len(found) > 1:
        choices = " or ".join(f"{one.path.parent.name}/{one.name}" for one in found)
        raise ConfigError(f"There are two artifacts called {name}: say {choices}.")
    return found[0]


def everything(store: Store) -> list[Located]:
    """Find all artifacts: what is a folder, under a name that one may have."""
    places = (store.datasets_path, store.runs_path, store.sweeps_path)
    found = []
    for place in places:
        entries = sorted(place.iterdir()) if place.is_dir() else []
        for path in sorted(entries, key=lambda entry: names.natural_key(entry.name)):
            found += [one for one in _candidates(store, path.name, [_PLACES[place.name]]) if path.is_dir()]
    return found


def _candidates(store: Store, name: str, kinds: list[Kind]) -> Iterator[Located]:
    if "data set" in kinds and names.is_dataset_name(name):
        yield Located("data set", name, store.dataset_path(name))
    if "run" in kinds and names.is_run_name(name):
        yield Located("run", name, store.run_path(name))
    if "sweep" in kinds and names.is_sweep_name(name):
        yield Located("sweep", name, store.sweep_path(name))


def _complain(store: Store, name: str, kinds: list[Kind]) -> None:
    """Raise what the store says of a name that nothing has."""
    if "sweep" in kinds and (names.is_sweep_name(name) or kinds == ["sweep"]):
        store.sweep(name)
    if "run" in kinds and (name.startswith("run_") or kinds == ["run"]):
        store.run(name)
    store.dataset(name)
