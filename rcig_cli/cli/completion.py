"""What the shell completes: commands, options, their choices, and the names of data sets and runs.

An answer takes a fraction of a second because no command is imported.  The options of the commands are read
from ``completion.json``, which ``make docs`` writes, and the names in the store are those of its folders.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rcig_cli.store.location import default_root
from rcig_cli.store.names import FOLDERS, NEWEST, Kind, is_name, natural_key

TABLE = Path(__file__).with_name("completion.json")

# What an argument or the value of an option stands for, by its name on help pages.
KINDS: Mapping[str, tuple[Kind, ...]] = {
    "RUN": ("run",),
    "DATASET": ("data set",),
    "NAME": ("run", "data set", "sweep", "sequence"),
}


def candidates(words: Sequence[str], incomplete: str) -> list[tuple[str, str]]:
    """Return what may be in place of an incomplete word, with a help text, or nothing for the names of files.

    Parameters
    ----------
    words
        The words before it, without ``rcig``.
    incomplete
        What was typed of it.
    """
    words = [word for word in words if word != "="]  # bash gives "--store=a" as three words
    table = json.loads(TABLE.read_text("utf-8"))
    option, equals, value = incomplete.partition("=")
    if equals and option:  # "--store=a" as one word
        found = candidates([*words, option], value)
        return [(f"{option}={word}", text) for word, text in found]
    incomplete = value if equals else incomplete
    command, after = _split(words, table[""]["options"])
    known = table.get(command, table[""])
    if incomplete.startswith("-"):
        found = [(name, each["help"]) for name, each in known["options"].items()]
    elif words and (known["options"].get(words[-1]) or {}).get("values") is not None:
        found = _values(known["options"][words[-1]]["values"], words)
    elif command:
        found = _arguments(known, after, words)
    else:
        found = [(name, each["help"]) for name, each in table.items() if name]
    return [(word, text) for word, text in found if word.startswith(incomplete)]


def _split(words: Sequence[str], common: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    """Return the command, or "" if it isn't there yet, and the words after it."""
    for index, word in enumerate(words):
        is_value = index > 0 and common.get(words[index - 1], {}).get("values") is not None
        if not word.startswith("-") and not is_value:
            return word, words[index + 1 :]
    return "", []


def _arguments(known: Mapping[str, Any], after: Sequence[str], words: Sequence[str]) -> list[tuple[str, str]]:
    """Return what an argument may be, after some words that follow the command."""
    options, given = known["options"], []
    for index, word in enumerate(after):
        is_value = index > 0 and options.get(after[index - 1], {}).get("values") is not None
        if not word.startswith("-") and not is_value:
            given.append(word)
    if given and not known["several"]:
        return []
    return [(word, text) for word, text in _values(known["arguments"], words) if word not in given]


def _values(values: str | list[str], words: Sequence[str]) -> list[tuple[str, str]]:
    """Return the choices, or the names in the store of the kinds that a word of `KINDS` stands for."""
    if isinstance(values, list):
        return [(choice, "") for choice in values]
    root = _store(words)
    found = []
    for kind in KINDS.get(values, ()):
        folder = root / FOLDERS[kind]
        names = os.listdir(folder) if folder.is_dir() else []
        found += [(name, "") for name in sorted(names, key=natural_key) if is_name(kind, name)]
    if values == "RUN" and found:
        found.append((NEWEST, "The newest run"))
    return found


def _store(words: Sequence[str]) -> Path:
    """Return the folder of the store that a command with these words would use."""
    root = str(default_root())
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--store":
            root = value if equals else following
    return Path(root).expanduser()
