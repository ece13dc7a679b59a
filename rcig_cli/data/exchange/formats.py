"""The list of all formats, and how one is found for a path or by its name."""

from __future__ import annotations

from pathlib import Path

from rcig_cli.data.exchange import flax_checkpoint, npz, parquet, png_folder, safetensors, torch_file
from rcig_cli.data.exchange.records import DatasetInfo, Format, SetFile
from rcig_cli.data.files import open_file
from rcig_cli.errors import ConfigError, RcigError

FORMATS: tuple[Format, ...] = (
    parquet.FORMAT,  # before the folders of pictures: it may be a folder too
    png_folder.FORMAT,
    torch_file.FORMAT,  # before .npz: both are zip archives
    npz.FORMAT,
    safetensors.FORMAT,  # before Flax: its first byte may be any
    flax_checkpoint.FORMAT,
)
"""In the order in which they are tried for a path."""

EXPORTS: dict[str, Format] = {
    form.name: form for form in sorted(FORMATS, key=lambda form: form.name) if form.write is not None
}
"""The formats that can be written, by name."""

_HEAD = 16  # bytes


def read_file(path: Path, dataset: DatasetInfo) -> SetFile:
    """Read a distilled set in any format; most of its arrays are read only when they are asked for.

    Parameters
    ----------
    path
        A file or folder.
    dataset
        The data set that it was distilled from.

    Raises
    ------
    NotFound
        If there is no such file or folder.
    ConfigError
        If its format isn't known, or it doesn't hold a distilled set.
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
                return form.read(path, dataset)
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    names = ", ".join(form.name for form in FORMATS)
    raise ConfigError(f"{path} has none of the formats that are imported ({names}): see docs/exchange.md.")
