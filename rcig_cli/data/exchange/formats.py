"""The list of all formats, and how one is found for a path or by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rcig_cli.data.exchange import (
    dd_ranking,
    flax_checkpoint,
    npz,
    parquet,
    png_folder,
    safetensors,
    torch_file,
)
from rcig_cli.data.exchange.records import DatasetInfo, Format, SetFile
from rcig_cli.data.files import open_file
from rcig_cli.errors import ConfigError, RcigError

FORMATS: tuple[Format, ...] = (
    parquet.FORMAT,  # before the folders of pictures: it may be a folder too
    dd_ranking.FORMAT,  # the same
    torch_file.FORMAT,  # the same; and before .npz: both are zip archives
    png_folder.FORMAT,
    npz.FORMAT,
    safetensors.FORMAT,  # before Flax: its first byte may be any
    flax_checkpoint.FORMAT,
)
"""In the order in which they are tried for a path."""

EXPORTS: dict[str, Format] = {
    form.name: form for form in sorted(FORMATS, key=lambda form: form.name) if form.write is not None
}
"""The formats that can be written, by name."""

_DEFAULT = "npz"
_HEAD = 16  # bytes


def export_format(name: str | None, path: Path | None) -> Format:
    """Choose the format of an export by its name, or else by the ending of the new file's name.

    Parameters
    ----------
    name
        The value of ``--format``, or None.
    path
        The new file or folder, or None for a default name.

    Raises
    ------
    ConfigError
        If there is no such format, or the ending belongs to another one.
    """
    if name is not None and name not in EXPORTS:
        raise ConfigError(f"--format {name} is not available; choose from: {', '.join(EXPORTS)}.")
    ending = "" if path is None else path.suffix.lower()
    owner = next((form for form in EXPORTS.values() if ending in form.endings), None)
    if name is None and owner is None and ending:
        raise ConfigError(f"No format has the ending of {path}: add --format, one of {', '.join(EXPORTS)}.")
    chosen = EXPORTS[name] if name is not None else owner or EXPORTS[_DEFAULT]
    if owner not in (None, chosen):
        raise ConfigError(
            f"{path} has the ending of --format {owner.name}, not of {chosen.name}: change either one."
        )
    if owner is not None and chosen.is_folder:
        raise ConfigError(
            f"--format {chosen.name} writes a folder: choose a name for --out without {ending}."
        )
    return chosen


def read_file(path: Path, dataset: DatasetInfo, index: int | None = None) -> SetFile:
    """Read a distilled set in any format; most of its arrays are read only when they are asked for.

    Parameters
    ----------
    path
        A file or folder.
    dataset
        The data set that it was distilled from.
    index
        Which of the sets is read where the file has a list of them, from 0.

    Raises
    ------
    NotFound
        If there is no such file or folder.
    ConfigError
        If its format isn't known, it doesn't hold a distilled set, or ``index`` doesn't choose one.
    Corrupt
        If it is damaged.
    RcigError
        If the system refuses to read it.
    """
    try:
        head = b""
        if not path.is_dir():
            with open_file(path) as stream:
                head = stream.read(_HEAD)
        for form in FORMATS:
            if form.recognize(path, head):
                return _choose(form.read(path, dataset), index)
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    names = ", ".join(form.name for form in FORMATS)
    raise ConfigError(f"{path} has none of the formats that are imported ({names}): see docs/exchange.md.")


def _choose(file: SetFile, index: int | None) -> SetFile:
    """The set of a number in a file that may have a list of sets."""
    count = max(1, len(file.sets))
    if index is None and count > 1:
        raise ConfigError(
            f"{file.path} has {count} distilled sets: choose one with --index, from 0 to {count - 1}."
        )
    chosen = index or 0
    if not 0 <= chosen < count:
        known = (
            f"choose one from 0 to {count - 1}" if count > 1 else "it has a single set, so leave --index out"
        )
        raise ConfigError(f"{file.path} has no set {chosen}: {known}.")
    return replace(file, arrays=file.sets[chosen]) if file.sets else file
