"""What users bring themselves: networks, augmentations, methods and data sources (``docs/extending.md``).

An extension is named by a *reference*, ``package.module:NAME``, or by the name of an entry point that an
installed distribution declares in one of `GROUPS`.  Only what the user names in a command, a configuration
file or a call is imported, and only when it is used; names in data sets and distilled sets are not.
"""

import difflib
import functools
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rcig_cli.errors import ConfigError, shorten

Kind = Literal["architecture", "augmentation", "method", "dataset"]

GROUPS: dict[Kind, str] = {
    "architecture": "rcig.architectures",
    "augmentation": "rcig.augmentations",
    "method": "rcig.methods",
    "dataset": "rcig.datasets",
}
METAVAR = "MODULE:NAME"

# The checksums of the files of modules when these were imported or reloaded.  Reloading gives a module a new
# ``__spec__``, which is kept to notice that.
_checksums: dict[str, tuple[Any, str]] = {}

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(f"{_DOTTED}:{_DOTTED}")


def is_reference(name: object) -> bool:
    """Whether a value is text of the form ``package.module:NAME``."""
    return isinstance(name, str) and _REFERENCE.fullmatch(name) is not None


def installed(kind: Kind) -> dict[str, str]:
    """Return the extensions of a kind that distributions declare: references by name.  None is imported."""
    from importlib import metadata  # slow to import

    points = metadata.entry_points(group=GROUPS[kind])
    named = sorted((point.name, point.value.partition("[")[0].replace(" ", "")) for point in points)
    return {name: reference for name, reference in named if is_reference(reference)}


def is_extension(kind: Kind, name: object) -> bool:
    """Whether a value is a reference, or the name of an installed extension."""
    return is_reference(name) or (isinstance(name, str) and name in installed(kind))


def reference_to(kind: Kind, name: str) -> str:
    """Return the reference that an installed extension's name stands for; any other name unchanged."""
    return name if is_reference(name) else installed(kind).get(name, name)


def load(kind: Kind, name: str) -> Any:
    """Import an extension.

    Modules in the current folder can be imported, as with ``python -m``.

    Raises
    ------
    ConfigError
        If there is no such extension, or its module can't be imported.
    """
    reference = reference_to(kind, name)
    if not is_reference(reference):
        raise ConfigError(f"There is no {kind} {shorten(name)}; your own is named {METAVAR}.")
    module_name, _, attribute = reference.partition(":")
    if name == reference and not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()  # the file may be newer than the last search of its folder
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may raise anything
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{module_name}.".startswith(f"{missing}."):
            raise ConfigError(
                f"{_called(name, reference)} can't be imported: there is no module {missing}. It must be "
                f"installed, or be in the current folder ({os.getcwd()})."
            ) from error
        raise ConfigError(
            f"{_called(name, reference)} can't be imported: {describe(error)}. --debug shows where."
        ) from error
    _checksum(reference)  # while the file is still what was imported
    try:
        return functools.reduce(getattr, attribute.split("."), module)
    except AttributeError:
        near = difflib.get_close_matches(attribute, dir(module), n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"{_called(name, reference)} can't be found: the module {module_name} has no {attribute}.{hint}"
        ) from None


def describe(error: Exception, limit: int = 200) -> str:
    """Return the type of an error and the first line of its message, at most `limit` characters of it."""
    line = next(iter(str(error).strip().splitlines()), "")
    text = line if len(line) <= limit else f"{line[: limit - 3]}..."
    return f"{type(error).__name__}{': ' if text else ''}{text.rstrip('.')}"


def provenance(reference: str) -> dict[str, str]:
    """Return what identifies the code of a reference, for the records of results.

    Returns
    -------
    dict
        ``distribution`` and ``version``, if the module is part of an installed distribution, and
        ``module_sha256``, the checksum of the module's file, if it has one.  A module that has not been
        imported has none.
    """
    from importlib import metadata

    owners = metadata.packages_distributions().get(reference.partition(":")[0].partition(".")[0], [])
    found = {}
    if owners:
        found = {"distribution": owners[0], "version": metadata.version(owners[0])}
    if (checksum := _checksum(reference)) is not None:
        found["module_sha256"] = checksum
    return found


def has_changed(reference: str, recorded: Mapping[str, Any]) -> bool:
    """Whether the code of a reference is not the one that was recorded (`provenance`).

    A module that has not been imported counts as changed if a checksum was recorded.
    """
    from importlib import metadata

    if recorded.get("module_sha256") != _checksum(reference):
        return True
    if "distribution" not in recorded:
        return False
    try:
        return bool(metadata.version(recorded["distribution"]) != recorded["version"])
    except metadata.PackageNotFoundError:
        return True


def _checksum(reference: str) -> str | None:
    """Return the checksum of the file of a reference's module as it was when the module was first asked for.

    None if the module has no file or has not been imported.
    """
    name = reference.partition(":")[0]
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or file is None:
        return None
    known = _checksums.get(name)
    if known is None or known[0] is not module.__spec__:
        if not Path(file).is_file():
            return None
        known = _checksums[name] = module.__spec__, hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return known[1]


def _called(name: str, reference: str) -> str:
    return name if name == reference else f"{name} ({reference})"
