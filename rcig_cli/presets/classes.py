"""The classes that are distilled, as text: names, or numbers from 0, separated by commas."""

import difflib
from collections.abc import Sequence

from rcig_cli.errors import ConfigError, listed, shorten


def chosen_classes(given: str | None, class_names: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of some classes of a data set, in the order in which they are given.

    Parameters
    ----------
    given
        Names separated by commas, or numbers from 0 where no class has such a name; None for all classes.
    class_names
        The names of all classes of the data set.

    Raises
    ------
    ConfigError
        If a class is unknown or given twice, or if there are fewer than two.
    """
    if given is None:
        return tuple(range(len(class_names)))
    chosen = [_number_of(word.strip(), class_names) for word in given.split(",")]
    for number in chosen:
        if chosen.count(number) > 1:
            raise ConfigError(f"classes: {class_names[number]!r} is given twice; give each class once.")
    if len(chosen) < 2:
        raise ConfigError(f"classes: give at least two classes, separated by commas, not {shorten(given)}.")
    return tuple(chosen)


def class_list(chosen: Sequence[int], class_names: Sequence[str]) -> str | None:
    """Return classes, by their numbers, as the text that a configuration has; None for all in their order."""
    if [*chosen] == [*range(len(class_names))]:
        return None
    names = [class_names[number] for number in chosen]
    return ",".join(str(number) if "," in name else name for number, name in zip(chosen, names, strict=True))


def unknown_class(setting: str, name: str, class_names: Sequence[str]) -> ConfigError:
    """Return the error for a class in the value of a setting that the data set doesn't have."""
    near = difflib.get_close_matches(name[:100], class_names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the classes are {listed([*map(repr, class_names)])}."
    return ConfigError(f"{setting}: there is no class {shorten(name)}; {hint}")


def _number_of(word: str, class_names: Sequence[str]) -> int:
    if word in class_names:
        return class_names.index(word)
    if word in map(str, range(len(class_names))):
        return int(word)
    raise unknown_class("classes", word, class_names)
