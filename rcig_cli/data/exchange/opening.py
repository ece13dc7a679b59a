"""The door to every format: what a file is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from rcig_cli.data.exchange.foreign import Opened, Target
from rcig_cli.data.layouts.archive import open_archive
from rcig_cli.data.layouts.regular import open_regular
from rcig_cli.errors import ConfigError, Corrupt, NotFound, RcigError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PARQUET = b"PAR1"
_ARCHIVES = {".npz", ".pt", ".pth"}
_PICKLES = {b"\x80" + bytes([protocol]) for protocol in range(2, 6)}


def open_foreign(path: Path, target: Target) -> Opened:
    """Open a distilled set made elsewhere, whatever its format; its images and labels are not read yet.

    Parameters
    ----------
    path
        A file, or a folder.
    target
        The data set it is to stand for.

    Raises
    ------
    NotFound
        If there is nothing.
    ConfigError
        If it is of no kind that can be read, or holds something else than a distilled set.
    Corrupt
        If it is damaged.
    RcigError
        If the system doesn't let it be read.
    """
    try:
        return _open(path, target)
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error


def _open(path: Path, target: Target) -> Opened:
    if path.is_dir():
        from rcig_cli.data.exchange import parquet_set, picture_folder

        if parquet_set.is_set(path):
            return parquet_set.open_set(path, target)
        return picture_folder.open_set(path, target)
    if not path.is_file():
        raise NotFound(f"There is no file or folder {path}.")
    with open_regular(path) as stream:
        head = stream.read(9)
    suffix = path.suffix.lower()
    if head[:4] in _ZIP:
        return _open_archive(path)
    if head[:4] == _PARQUET or suffix == ".parquet":
        from rcig_cli.data.exchange import parquet_set

        return parquet_set.open_set(path, target)
    if head[8:] == b"{" or suffix == ".safetensors":
        from rcig_cli.data.exchange import safetensors_set

        return safetensors_set.open_set(path)
    if head[:2] in _PICKLES:
        raise ConfigError(
            f"{path} is a bare pickle, which is never loaded: save it with numpy.savez or torch.save."
        )
    if suffix in _ARCHIVES:
        raise Corrupt(f"{path} is damaged, cut short or no {suffix} file: make or copy it again.")
    if _begins_a_map(head[:1]):
        from rcig_cli.data.exchange import msgpack_state

        return msgpack_state.open_state(path)
    raise ConfigError(
        f"{path} is nothing that can be imported: a published checkpoint (Flax MessagePack), .npz, .pt, "
        ".safetensors, .parquet, or a folder of class folders of pictures."
    )


def _open_archive(path: Path) -> Opened:
    with open_archive(path) as archive:
        names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        from rcig_cli.data.exchange import torch_file

        return torch_file.open_set(path)
    from rcig_cli.data.exchange import npz_set

    return npz_set.open_set(path)


def _begins_a_map(first: bytes) -> bool:
    return bool(first) and (0x80 <= first[0] <= 0x8F or first[0] in (0xDE, 0xDF))
