"""The door to every kind of data set: a name, or a path of the user's own, becomes an image source."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from rcig_cli.data.sources.known import KNOWN, KnownDataset, known_names
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.errors import ConfigError, NotFound, RcigError

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SHOWN = 80
_SIDES = range(4, 1025)
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def open_source(name: str, path: Path | None = None, resolution: int | None = None) -> ImageSource:
    """Open a data set by its name, or the user's own data under a name of their choice.

    Parameters
    ----------
    name
        A known data set, or with ``path`` any name of lower-case letters, digits, ``_`` and ``-``.
    path
        A folder of class folders or with an official download unpacked (``rcig_cli.data.layouts``), or an
        ``.npz`` file.
    resolution
        Side in pixels to which every image is brought: its central square is cut out and resized.
        Without it images keep their size if they are square and alike; otherwise see
        ``rcig_cli.data.images.pixels.choose_side``.

    Returns
    -------
    ImageSource
        The data set; nothing but headers and labels has been read yet.

    Raises
    ------
    NotFound
        If there is no such data set or path.
    ConfigError
        If the name, the resolution or the content can't be used.
    Corrupt
        If the file is damaged.
    RcigError
        If the system doesn't let it be read.
    """
    _check_name(name, path)
    if resolution is not None and resolution not in _SIDES:
        raise ConfigError(f"Resolution {resolution} can't be used: give {_SIDES[0]} to {_SIDES[-1]} pixels.")
    if path is not None:
        try:
            return _open_path(name, path, resolution)
        except OSError as error:
            raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    return _open_known(name, resolution)


def _check_name(name: str, path: Path | None) -> None:
    if _NAME.fullmatch(name):
        return
    raise ConfigError(
        f"{name[:_SHOWN]!r} can't name a data set: use up to 64 lower-case letters, digits, '_' and '-', "
        + ("beginning with a letter or digit." if path else "and pass your own data with --from PATH.")
    )


def _open_path(name: str, path: Path, resolution: int | None) -> ImageSource:
    if path.is_dir():
        return _open_folder(name, path, resolution)
    if not path.exists():
        raise NotFound(f"There is no file or folder {path}: check what you passed to --from.")
    if path.name.lower().endswith(_ARCHIVES):
        raise ConfigError(f"{path} is an archive: unpack it, and pass the folder that it unpacks to --from.")
    if path.suffix.lower() != ".npz" or not path.is_file():
        raise ConfigError(f"{path} is neither a folder of class folders nor an .npz file: --from takes one.")
    from rcig_cli.data.sources.npz import open_npz

    return open_npz(name, path, resolution)


def _open_folder(name: str, path: Path, resolution: int | None) -> ImageSource:
    from rcig_cli.data.layouts.recognise import open_recognised, recognised_inside

    recognised = open_recognised(name, path, resolution)
    if recognised is not None:
        return recognised
    from rcig_cli.data.sources.folder import open_folder

    try:
        return open_folder(name, path, resolution)
    except ConfigError as error:
        inner = recognised_inside(path)
        if inner is None:
            raise
        raise ConfigError(
            f"{path} holds {inner[0]} in a folder of its own: pass --from {inner[1]}."
        ) from error


def _open_known(name: str, resolution: int | None) -> ImageSource:
    if name == "digits":
        from rcig_cli.data.sources.digits import open_digits

        return open_digits(resolution)
    if name not in KNOWN:
        raise NotFound(_unknown(name))
    if KNOWN[name].tfds is None:
        raise ConfigError(_how_to_get(KNOWN[name]))
    from rcig_cli.data.sources.named import open_named

    return open_named(KNOWN[name], resolution)


def _how_to_get(known: KnownDataset) -> str:
    address, folder = known.download or ("its makers", "FOLDER")
    return (
        f"{known.name} isn't in TensorFlow Datasets: download it from {address}, unpack it, "
        f"and type rcig prepare {known.name} --from {folder}."
    )


def _unknown(name: str) -> str:
    known = ["digits", *known_names()]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    listed = ", ".join(known)
    return f"There is no data set {name!r}.{hint} Known are {listed}; your own comes with --from PATH."
