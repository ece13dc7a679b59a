"""Images per class, as a user gives them, in the form in which a configuration has them."""

from collections.abc import Mapping, Sequence

from rcig_cli.errors import ConfigError, listed
from rcig_cli.presets.classes import unknown_class
from rcig_cli.settings import DEFAULT

Given = int | Sequence[int] | Mapping[str, int]


def counts_per_class(given: Given, class_names: Sequence[str]) -> int | tuple[int, ...]:
    """Return one number for each class in their order, or a single number if it is the same for all.

    Parameters
    ----------
    given
        A number; or one for each class, in their order; or numbers by class name, with ``"default"`` for the
        classes that are not named (unless that is the name of a class).
    class_names
        The names of the classes.

    Raises
    ------
    ConfigError
        If a class is unknown or has no number.
    """
    if isinstance(given, int):
        return given
    counts = _by_name(given, class_names) if isinstance(given, Mapping) else tuple(given)
    if len(counts) != len(class_names):
        raise ConfigError(
            f"ipc has {len(counts)} numbers, but there are {len(class_names)} classes: give one number for "
            "each class, or a single one."
        )
    return counts[0] if len(set(counts)) == 1 else counts


def _by_name(given: Mapping[str, int], class_names: Sequence[str]) -> tuple[int, ...]:
    for name in given:
        if name not in (*class_names, DEFAULT):
            raise unknown_class("ipc", name, class_names)
    others = None if DEFAULT in class_names else given.get(DEFAULT)
    missing = [repr(name) for name in class_names if name not in given]
    if missing and others is None:
        raise ConfigError(
            f"ipc has no number for {listed(missing)}: add one for all other classes "
            "(--ipc N, or default = N in a file)."
        )
    return tuple(given.get(name, others or 0) for name in class_names)
