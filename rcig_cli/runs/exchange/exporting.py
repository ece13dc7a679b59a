"""Export the distilled set of a run to a file or folder that other programs read."""

from pathlib import Path

from rcig_cli.data.exchange.formats import EXPORTS
from rcig_cli.data.exchange.records import ExportedSet
from rcig_cli.errors import ConfigError
from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.store.files import AlreadyExists, publish, storage_errors, temporary_folder
from rcig_cli.store.store import Store


def export_set(store: Store, run: str, path: Path | None = None, *, format: str = "npz") -> Path:  # noqa: A002
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
        One of ``rcig_cli.data.exchange.formats.EXPORTS``; ``docs/exchange.md`` describes them.

    Returns
    -------
    Path
        The file or folder.

    Raises
    ------
    NotFound
        If there is no such run, or it isn't finished.
    ConfigError
        If there is no such format, or ``path`` exists.
    Corrupt
        If the run is damaged.
    RcigError
        If the file can't be written.
    """
    if format not in EXPORTS:
        raise ConfigError(f"--format {format} is not available; choose from: {', '.join(EXPORTS)}.")
    chosen, distilled = EXPORTS[format], open_distilled(store, run)
    manifest = distilled.prepared.manifest
    exported = ExportedSet(
        run=run,
        dataset=manifest.name,
        class_names=manifest.class_names,
        images=distilled.images,
        labels=distilled.labels,
        classes=distilled.classes,
        whitening=distilled.prepared.whitening(),
    )
    path = Path(f"{run}{chosen.suffix}") if path is None else path
    exists = ConfigError(f"{path} exists already: choose another path with --out, or move it away.")
    if path.exists() or path.is_symlink():
        raise exists
    assert chosen.write is not None
    with temporary_folder(path.absolute().parent) as temporary:
        prepared = temporary if chosen.is_folder else temporary / "set"
        with storage_errors(path):
            chosen.write(prepared, exported)
        try:
            publish(prepared, path.absolute())
        except AlreadyExists:
            raise exists from None
    return path
