"""Read pickles of plain values and NumPy arrays without executing anything.

A pickle may call any function by name.  Here pickles are read with an unpickler that replaces the names that
NumPy's arrays need with classes and functions of this module, and refuses every other name.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.files import open_file
from rcig_cli.errors import ConfigError, Corrupt, RcigError


def read_pickle(folder: Path, name: str, most: int) -> dict[str, Any]:
    """Read a pickled dictionary of numbers, strings, lists of those, and NumPy arrays of bytes.

    Nothing that the file names is imported or called.  Byte strings that Python 2 wrote become str, as
    keys and in lists.

    Parameters
    ----------
    folder, name
        The file is ``folder / name``.
    most
        Its largest size in bytes; reading takes three times as much memory.

    Raises
    ------
    ConfigError
        If it names anything but NumPy's arrays, or is larger.
    Corrupt
        If it is damaged or cut short.
    NotFound, RcigError
        As `rcig_cli.data.files.open_file`.
    """
    path = folder / name
    with open_file(path, most=most, inside=folder) as file:
        content = file.read()
    try:
        _check_memo(content)
        return {_text(key): _value(item) for key, item in _Unpickler(content, path).load().items()}
    except RcigError:
        raise
    except Exception as error:  # on a damaged pickle the unpickler raises errors of almost any kind
        raise Corrupt(
            f"{path} is damaged, cut short or not a pickled dictionary of arrays of bytes: download it again."
        ) from error


def _check_memo(content: bytes) -> None:
    """Refuse an index into the memo that no pickle of this length needs.

    The unpickler allocates memory for all indices below it: one damaged byte could ask for many gigabytes.
    """
    for opcode, index, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and index > len(content):  # type: ignore[operator]
            raise ValueError("an index that is too large")


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(content), encoding="bytes")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        found = _STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise ConfigError(
                f"{self._path} is a pickle that refers to {f'{module}.{name}'[:80]!r}, which is never "
                "loaded: get the data set in another format."
            )
        return found


class _Dtype:
    """Stands in for ``numpy.dtype``: bytes only."""

    def __init__(self, code: Any, *_: Any) -> None:
        if code not in ("u1", b"u1"):
            raise ValueError("not an array of bytes")

    def __setstate__(self, state: Any) -> None:
        pass  # byte order, fields and the like, which bytes don't have


class _Array:
    """Stands in for ``numpy.ndarray``, and its constructor for ``numpy.core.multiarray._reconstruct``."""

    pixels: npt.NDArray[np.uint8] | None = None

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise ValueError("an array without a type")
        self.pixels = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    found = _Array()
    found.__setstate__((1, shape, dtype, order == "F", data))
    return found


def _encode(text: str, _: str) -> bytes:
    return text.encode("latin1")


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,  # how protocol 5 pickles arrays
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,  # how Python 3 pickles bytes at protocol 2
}


def _text(value: Any) -> str:
    found = value.decode() if isinstance(value, bytes) else value
    if not isinstance(found, str):
        raise ValueError("not a string")
    return found


def _value(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.pixels
    if isinstance(value, list):
        return [item.decode() if isinstance(item, bytes) else item for item in value]
    return value
