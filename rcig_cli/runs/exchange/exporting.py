"""Export the distilled set of a run to a file or folder that other programs read."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from rcig_cli.data.exchange.formats import export_format
from rcig_cli.data.exchange.records import ExportedSet, Format
from rcig_cli.errors import ConfigError
from rcig_cli.runs.distill.distilled import DistilledSet, open_distilled
from rcig_cli.store.files import publish, storage_errors, temporary_folder
from rcig_cli.store.store import Store


def export_set(
    store: Store,
    run: str,
    path: Path | None = None,
    *,
    format: str | None = None,  # noqa: A002
    whitening: bool = True,
) -> tuple[Path, Format]:
    """Write the distilled set of a run to a new file or folder, completely or not at all.

    Parameters
    ----------
    store
        The store that the run is in.
    run
        The name of a finished run.
    path
        The new file or folder; by default in the current folder, named after the run.
    format
        One of ``rcig_cli.data.exchange.formats.EXPORTS``, which ``docs/exchange.md`` describes; by default
        that of the ending of ``path``, or npz.
    whitening
        Whether to export the whitening, which others need to preprocess test images; with ZCA its matrices
        take most of the bytes.

    Returns
    -------
    Path, Format
        The file or folder, and its format.

    Raises
    ------
    NotFound
        If there is no such run, or it isn't finished.
    ConfigError
        If there is no such format, the ending of ``path`` belongs to another one, or ``path`` exists.
    Corrupt
        If the run is damaged.
    RcigError
        If the file can't be written.
    """
    chosen = export_format(format, path)
    exported = exported_set(open_distilled(store, run), whitening=whitening)
    path = Path(f"{exported.run}{chosen.suffix}") if path is None else path
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists already: choose another path with --out, or move it away.")
    assert chosen.write is not None
    with temporary_folder(path.absolute().parent) as temporary:
        prepared = temporary if chosen.is_folder else temporary / "set"
        with storage_errors(path):
            chosen.write(prepared, exported)
        publish(prepared, path.absolute())
    return path, chosen


def export_to_stream(
    store: Store,
    run: str,
    stream: BinaryIO,
    *,
    format: str | None,  # noqa: A002
    whitening: bool = True,
) -> None:
    """Write the distilled set of a run to a stream, such as stdout; see `export_set`.

    Raises
    ------
    ConfigError
        Also if the format is a folder.
    """
    chosen = export_format(format, None)
    if chosen.is_folder:
        raise ConfigError(f"--out - needs a format that is a single file, but {chosen.name} is a folder.")
    exported = exported_set(open_distilled(store, run), whitening=whitening)
    assert chosen.write is not None
    # The formats need a file in which they can go back.
    with storage_errors(Path("stdout")), tempfile.TemporaryDirectory() as folder:
        chosen.write(Path(folder) / "set", exported)
        with (Path(folder) / "set").open("rb") as content:
            shutil.copyfileobj(content, stream)
        stream.flush()


def exported_set(distilled: DistilledSet, *, whitening: bool = True) -> ExportedSet:
    """Return a distilled set with everything that another program needs to use it; see `export_set`."""
    prepared, is_raw = distilled.prepared, distilled.size.is_raw
    return ExportedSet(
        run=distilled.run.name,
        dataset=prepared.name,
        class_names=prepared.class_names,
        images=distilled.images,
        labels=distilled.labels,
        classes=distilled.classes,
        whitening=prepared.whitening(),
        stored={} if is_raw else distilled.stored,
        parametrization=None if is_raw else distilled.config.to_decode(),
        keeps_whitening=whitening,
    )
