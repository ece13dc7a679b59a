"""Distilled sets as ``.pt``: a dictionary of tensors that ``torch.save`` has written.

Such a file is a zip archive with a pickle in it.  The pickle is looked through before PyTorch sees it: it
may name what builds tensors, and nothing else.  Then ``torch.load`` reads it with ``weights_only``, the
tensors mapped from the file, so that none can be larger than the file is.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.exchange.foreign import SPACES, Opened, Space, Stored
from rcig_cli.data.layouts.archive import open_archive
from rcig_cli.errors import ConfigError, Corrupt

_LARGEST_PICKLE = 2**20  # what is built of it may take a hundred times as much
_TYPES = {
    **{f"torch.{name}": name for name in ("float16", "float32", "float64", "uint8")},
    **{f"torch.{name}": name for name in ("int8", "int16", "int32", "int64")},
}
_BUILDERS = {
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"),
    *(f"torch {kind}Storage" for kind in ("Half", "Float", "Double", "BFloat16", "Byte", "Bool")),
    *(f"torch {kind}Storage" for kind in ("Char", "Short", "Int", "Long")),
}
# What looks a name up; the first has it beside it, the others take it from the stack.
_NAMED, _HIDDEN = (
    "GLOBAL",
    {"STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4", "BUILD", "NEWOBJ", "NEWOBJ_EX", "OBJ"},
)
# What may be taken up again.  Tuples that hold one another over and over would take forever to be compared.
_AGAIN = {
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "GLOBAL", "REDUCE", "BINPERSID"),
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"),
}
_REMEMBERING = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_RECALLING = {"GET", "BINGET", "LONG_BINGET"}


def open_set(path: Path) -> Opened:
    """Open a ``.pt`` file with a distilled set.

    Raises
    ------
    ConfigError
        If PyTorch isn't installed, or the file holds more than tensors, numbers and texts by name.
    Corrupt
        If it is damaged or cut short.
    """
    _check_archive(path)
    content = _load(path)
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} holds no dictionary: save {{'images': ..., 'labels': ...}} with torch.save."
        )
    arrays = {
        name: _stored(value)
        for name, value in content.items()
        if isinstance(name, str) and str(getattr(value, "dtype", "")) in _TYPES
    }
    return Opened(path, arrays, _space(path, content.get("space")))


def _space(path: Path, word: Any) -> Space | None:
    for space in SPACES:
        if word == space:
            return space
    if word is not None:
        raise ConfigError(f"{path}: space must be one of {', '.join(SPACES)}.")
    return None


def _stored(tensor: Any) -> Stored:
    def read() -> Any:
        return tensor.detach().contiguous().numpy()

    return Stored(tuple(tensor.shape), np.dtype(_TYPES[str(tensor.dtype)]), read)


def _check_archive(path: Path) -> None:
    with open_archive(path) as archive:
        entries = archive.infolist()
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > path.stat().st_size or len(pickles) != 1:
            raise Corrupt(f"{path} is no file that torch.save has written, or is damaged: save it again.")
        if pickles[0].file_size > _LARGEST_PICKLE:
            raise ConfigError(f"{path} holds far more than two tensors: save only images and labels.")
        _check_pickle(path, archive.read(pickles[0]))


def _check_pickle(path: Path, pickled: bytes) -> None:
    again, before = _Again(), ""
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            hidden = opcode.name in _HIDDEN or not again.allows(opcode.name, argument, before)
            before = opcode.name
            if hidden or (opcode.name == _NAMED and argument not in _BUILDERS):
                what = "an object" if hidden else str(argument).replace(" ", ".")[:60]
                raise ConfigError(
                    f"{path} holds {what!r} beside tensors, which is never loaded: "
                    "save a dictionary with the tensors images and labels."
                )
    except ValueError as error:
        raise Corrupt(f"{path} is damaged or cut short: save it again.") from error


class _Again:
    """Which of the things that a pickle remembers it may take up again."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._allowed: set[int] = set()

    def allows(self, opcode: str, argument: Any, before: str) -> bool:
        """Whether a pickle may go on with an instruction after another."""
        if opcode in _REMEMBERING:
            place = len(self._known) if opcode == "MEMOIZE" else argument
            self._known.add(place)
            (self._allowed.add if before in _AGAIN else self._allowed.discard)(place)
        return opcode != "DUP" and (opcode not in _RECALLING or argument in self._allowed)


def _load(path: Path) -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path} needs PyTorch to be read: install it with `pip install torch`, "
            "or save the arrays with numpy.savez."
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # On damaged files PyTorch's reader lets out errors of almost any kind.
    except Exception as error:
        raise Corrupt(
            f"{path} is damaged, or holds what PyTorch doesn't load safely: save it again."
        ) from error
