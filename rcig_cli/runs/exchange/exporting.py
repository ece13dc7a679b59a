"""Hand a distilled set on, in a format that others read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rcig_cli.data.exchange import npz_set, parquet_set, picture_folder, safetensors_set
from rcig_cli.data.exchange.outgoing import OutgoingSet
from rcig_cli.errors import ConfigError
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.store.files import AlreadyExists, aside_folder, publish_file, publish_folder, storage_errors


@dataclass(frozen=True)
class _Format:
    """How a set is written, and what its file's name, or its folder's, ends in."""

    write: Callable[[Path, OutgoingSet], None]
    ending: str
    folder: bool = False


_FORMATS = {
    "npz": _Format(npz_set.write_set, ".npz"),
    "png": _Format(picture_folder.write_set, "-png", folder=True),
    "safetensors": _Format(safetensors_set.write_set, ".safetensors"),
    "parquet": _Format(parquet_set.write_set, "-parquet", folder=True),
}
FORMATS = tuple(_FORMATS)


def export_set(distilled: DistilledSet, form: str, out: Path | None = None) -> Path:
    """Write a distilled set into a new file or folder; it is there whole, or not at all.

    Parameters
    ----------
    distilled
        What is handed on.
    form
        One of `FORMATS`.
    out
        Where; by default in the current folder, under the run's name.

    Returns
    -------
    Path
        The file or folder.

    Raises
    ------
    ConfigError
        If there is no such format, or something is there already.
    RcigError
        If it can't be written.
    """
    if form not in _FORMATS:
        raise ConfigError(f"--format {form} is not available; there are: {', '.join(FORMATS)}.")
    chosen = _FORMATS[form]
    path = out or Path(f"{distilled.run.name}{chosen.ending}")
    taken = ConfigError(f"{path} is there already: choose another place with --out, or move it away.")
    if path.exists() or path.is_symlink():
        raise taken
    outgoing = _outgoing(distilled)
    with aside_folder(path.absolute().parent, tidy=False) as aside:
        prepared = aside if chosen.folder else aside / "set"
        with storage_errors(path):
            chosen.write(prepared, outgoing)
        try:
            (publish_folder if chosen.folder else publish_file)(prepared, path.absolute())
        except AlreadyExists:
            raise taken from None
    return path


def _outgoing(distilled: DistilledSet) -> OutgoingSet:
    manifest = distilled.prepared.manifest
    return OutgoingSet(
        run=distilled.run.name,
        dataset=manifest.name,
        class_names=manifest.class_names,
        images=distilled.images,
        labels=distilled.labels,
        classes=distilled.classes,
        whitening=distilled.prepared.whitening(),
    )
