"""Open a data set by name, or the user's own data, as an image source; and identify it."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rcig_cli.data.arrays.pairs import read_key
from rcig_cli.data.hub import HUB
from rcig_cli.data.sources.known import KNOWN, KnownDataset, known_in_tfds
from rcig_cli.data.sources.listener import Listener, Silent
from rcig_cli.data.sources.options import READ_AS_FOUND, ReadOptions
from rcig_cli.data.sources.source import ImageSource
from rcig_cli.errors import ConfigError, NotFound, RcigError
from rcig_cli.extensions import installed, is_reference

EMBEDDED = "digits"
"""The data set that comes with scikit-learn, so it needs no download."""

_TFDS = "tfds:"


def open_source(
    name: str,
    origin: str | Path | None = None,
    options: ReadOptions = READ_AS_FOUND,
    *,
    listener: Listener | None = None,
) -> ImageSource:
    """Open a data set by its name, or the user's own data under a name of their choice.

    Parameters
    ----------
    name
        A known data set, or with ``origin`` any name that the store allows.
    origin
        A path to a file or folder in one of the formats of `rcig_cli.data.formats`, or a data set elsewhere:
        ``tfds:NAME`` or ``hf:OWNER/NAME``; or a function of the user's own, ``package.module:NAME``.
    options
        What the user says about how the data are to be read.
    listener
        Receives messages and the progress of downloads.

    Returns
    -------
    ImageSource
        The data set; it has been downloaded, and only headers and labels have been read.

    Raises
    ------
    NotFound
        If there is no such data set or path.
    ConfigError
        If an option or the content can't be used.
    Corrupt
        If the file is damaged.
    RcigError
        If the system refuses to read it, or it can't be downloaded.
    """
    if origin is None:
        if name != EMBEDDED and name not in KNOWN:
            raise NotFound(_unknown(name))
        options.check_used((), f"the known data set {name}")
        return _open_known(name, options, listener or Silent())
    if str(origin).startswith(_TFDS):
        from rcig_cli.data.sources.tfds import open_tfds

        options.check_used((), "TensorFlow Datasets")
        return open_tfds(name, str(origin).removeprefix(_TFDS), options.resolution)
    if is_remote(origin):
        from rcig_cli.data.sources.hub import open_hub

        return open_hub(name, str(origin), options, listener or Silent())
    if not is_path(origin):
        from rcig_cli.data.sources.function import open_function

        return open_function(name, str(origin), options)
    from rcig_cli.data.formats.registry import open_path

    source = open_path(name, Path(origin), options)
    source.origin["files"] = digest_of_files(Path(origin), options.labels_path())
    return source


def is_remote(origin: str | Path) -> bool:
    """Whether data come from elsewhere by name, and not from a path."""
    return str(origin).startswith((HUB, _TFDS))


def is_path(origin: str | Path) -> bool:
    """Whether data come from a path, and neither by name nor from a function of the user's own."""
    return not is_remote(origin) and (Path(origin).exists() or not is_reference(str(origin)))


def name_of(origin: str) -> str:
    """Return the name of ``hf:OWNER/NAME`` or ``tfds:NAME/CONFIG`` as a name of a data set in the store.

    Known data sets get the name that they have here: ``hf:OWNER/Fashion-MNIST`` is ``fashion_mnist``.
    """
    scheme, _, rest = origin.partition(":")
    if scheme == "tfds" and (known := known_in_tfds(rest)):
        return known.name
    parts = rest.partition("@")[0].split("/")
    name = parts[0].partition(":")[0] if scheme == "tfds" else parts[min(1, len(parts) - 1)]
    spellings = {known.replace("_", ""): known for known in KNOWN}
    plain = re.sub(r"[^a-z0-9]+", "", name.lower())
    return spellings.get(plain) or re.sub(r"[^a-z0-9_-]+", "-", name.lower()).lstrip("_-")[:64]


def _open_known(name: str, options: ReadOptions, listener: Listener) -> ImageSource:
    if name == EMBEDDED:
        from rcig_cli.data.sources.digits import open_digits

        return open_digits(options.resolution)
    known = KNOWN[name]
    if not known.archives:
        raise ConfigError(_how_to_get(known))
    from rcig_cli.data.formats.registry import open_path
    from rcig_cli.data.sources.download import fetch

    source = open_path(name, fetch(known, listener), options)
    source.origin["downloads"] = [
        {"address": archive.address, "sha256": archive.sha256} for archive in known.archives
    ]
    return source


def _how_to_get(known: KnownDataset) -> str:
    tfds = f", or pass --from tfds:{known.tfds}" if known.tfds else ""
    return (
        f"rcig doesn't download {known.name}: get it from {known.page}, unpack it, "
        f"and run rcig prepare {known.name} --from {known.folder}{tfds}."
    )


def _unknown(name: str) -> str:
    known = [EMBEDDED, *dict.fromkeys(row.name for row in KNOWN.values()), *installed("dataset")]
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return (
        f"There is no data set {name!r}.{hint} "
        f"Known names are {', '.join(known)}; pass your own data with --from PATH."
    )


def identity(source: ImageSource) -> dict[str, Any]:
    """Describe a source as JSON values that differ if the data may differ, without reading its images."""
    return {
        "name": source.name,
        "class_names": list(source.class_names),
        "shape": list(source.shape),
        "sizes": dict(source.sizes),
        "notes": [note.text for note in source.notes],
        "origin": source.origin,
    }


def digest_of_files(path: Path, labels: Path | None = None) -> str:
    """Return a digest of the names, sizes and times of the files in a folder, or of one and its neighbours.

    Neighbours are files in the same folder whose names differ only in the words for split and content, such
    as that of the labels.  ``labels`` is a labels file, which may be elsewhere; it may also be missing, since
    the option may name a column instead.

    Raises
    ------
    RcigError
        If the files can't be listed.
    """
    found = hashlib.sha256()
    try:
        folder = path if path.is_dir() else path.parent
        files = list(_walk(path)) if path.is_dir() else _neighbours(path)
        for file in [*files, labels] if labels and labels.is_file() else files:
            try:
                status = file.stat()
            except OSError:
                status = file.lstat()  # a broken link; the search for images skips it too
            name = os.fsencode(os.path.relpath(file, folder))
            found.update(b"%b\0%d\0%d\n" % (name, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    return found.hexdigest()


def _neighbours(path: Path) -> list[Path]:
    rest = read_key(path.name).rest
    return sorted(file for file in path.parent.iterdir() if read_key(file.name).rest == rest)


def _walk(folder: Path) -> Iterator[Path]:
    from rcig_cli.data.sources.image_search import is_ignored

    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_ignored(name, os.path.join(root, name)))
        yield from (Path(root, name) for name in sorted(names) if not is_ignored(name))
