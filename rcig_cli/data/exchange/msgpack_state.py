"""The published checkpoints of RCIG and FRePo: a training state as Flax writes it, in MessagePack.

::

    {"ema_average": {"x_proto": [n, H, W, c], "y_proto": [n, C], ...},  "params": {the same},  "step": ...}

The average is taken where there is one: it is what was evaluated.  Everything else is stepped over unread.
An array is an extension of type 1 that holds (shape, name of a type, bytes); one above a gigabyte is a map
with its shape and the pieces of it, flattened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.foreign import Opened, Stored
from rcig_cli.data.layouts.regular import open_regular
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_ROOTS = ("ema_average", "params")
_WANTED = ("x_proto", "y_proto")
_ARRAY = 1  # the type of the extension
_TYPES = ("float16", "float32", "float64")
_DEEPEST = 4  # maps between the root and an array
_LONGEST_TEXT = 1024
_MOST_AXES = 8
_LARGEST_OBJECT = 2**30 + 2**20  # Flax cuts arrays at 2**30 bytes

Array = npt.NDArray[Any]


def open_state(path: Path) -> Opened:
    """Read the two arrays of a published checkpoint.

    Raises
    ------
    ConfigError
        If there is no such pair in it.
    Corrupt
        If it is cut short, isn't MessagePack, or declares more than it has bytes for.
    """
    import msgpack

    size = path.stat().st_size
    limit = max(1, min(size, _LARGEST_OBJECT))
    try:
        with open_regular(path) as stream:
            unpacker = msgpack.Unpacker(
                stream,
                read_size=min(limit, 2**20),
                max_buffer_size=limit,
                max_str_len=_LONGEST_TEXT,
                max_array_len=_MOST_AXES,
                max_map_len=_MOST_AXES,
            )
            found = _State(path, unpacker).read()
    except OSError as error:
        raise RcigError(f"{path} can't be read: {error.strerror or error}.") from error
    except (msgpack.UnpackException, ValueError, TypeError, OverflowError, RecursionError) as error:
        _damaged(path, error)
    for root in _ROOTS:
        if found.get(root, {}).keys() >= set(_WANTED):
            return Opened(path, {name: _stored(found[root][name]) for name in _WANTED}, "whitened")
    raise ConfigError(
        f"{path} holds no x_proto and y_proto under ema_average or params: it is no checkpoint of RCIG or "
        "FRePo."
    )


def _stored(array: Array) -> Stored:
    return Stored(array.shape, array.dtype, lambda: array)


def _damaged(path: Path, error: Exception | None = None) -> NoReturn:
    raise Corrupt(
        f"{path} is cut short, damaged, or no checkpoint that Flax has written: copy it again."
    ) from error


class _State:
    """A walk through a training state that keeps the arrays wanted, and steps over the rest."""

    def __init__(self, path: Path, unpacker: Any) -> None:
        self._path, self._unpacker = path, unpacker

    def read(self) -> Mapping[str, Mapping[str, Array]]:
        """Return the arrays by root and name."""
        found = {}
        for _ in range(self._unpacker.read_map_header()):
            key = self._key()
            if key in _ROOTS:
                found[key] = self._arrays(_DEEPEST)
            else:
                self._unpacker.skip()
        return found

    def _arrays(self, deepest: int) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for _ in range(self._unpacker.read_map_header()):
            key = self._key()
            if key in _WANTED:
                found[key] = self._array()
            elif key in _ROOTS and deepest:
                found |= self._arrays(deepest - 1)
            else:
                self._unpacker.skip()
        return found

    def _key(self) -> str:
        key = self._unpacker.unpack()
        if not isinstance(key, str):
            _damaged(self._path)
        return key

    def _array(self) -> Array:
        try:
            fields = self._unpacker.read_map_header()
        except ValueError:  # it is no map, and still to be read
            return self._piece()
        shape: tuple[int, ...] = ()
        pieces: list[Array] = []
        for _ in range(fields):
            match self._key():
                case "shape":
                    shape = self._shape()
                case "chunks":
                    pieces = self._pieces()
                case _:
                    self._unpacker.skip()
        if not pieces or math.prod(shape) != sum(piece.size for piece in pieces):
            self._too_large(shape)
        return np.concatenate([piece.reshape(-1) for piece in pieces]).reshape(shape)

    def _shape(self) -> tuple[int, ...]:
        axes = [(self._key(), self._unpacker.unpack()) for _ in range(self._unpacker.read_map_header())]
        if [key for key, _ in axes] != [str(axis) for axis in range(len(axes))]:
            _damaged(self._path)
        return _checked_shape([length for _, length in axes])

    def _pieces(self) -> list[Array]:
        pieces = []
        for _ in range(self._unpacker.read_map_header()):
            self._key()
            pieces.append(self._piece())
        return pieces

    def _piece(self) -> Array:
        import msgpack

        extension = self._unpacker.unpack()
        if not isinstance(extension, msgpack.ExtType) or extension.code != _ARRAY:
            raise ConfigError(
                f"{self._path} has something else than an array of real numbers for x_proto or y_proto."
            )
        shape, name, data = msgpack.unpackb(extension.data, max_array_len=_MOST_AXES, max_map_len=0)
        if name not in _TYPES:
            raise ConfigError(
                f"{self._path} has arrays of type {str(name)[:40]}: {', '.join(_TYPES)} can be read."
            )
        shape = _checked_shape(shape)
        if math.prod(shape) * np.dtype(name).itemsize != len(data):
            self._too_large(shape)
        return np.frombuffer(data, np.dtype(name).newbyteorder("<")).reshape(shape)

    def _too_large(self, shape: tuple[int, ...]) -> NoReturn:
        raise Corrupt(
            f"{self._path} declares an array of {' x '.join(map(str, shape))}, and has not as many numbers: "
            "it is cut short or damaged."
        )


def _checked_shape(lengths: Any) -> tuple[int, ...]:
    if not isinstance(lengths, list) or len(lengths) > _MOST_AXES:
        raise ValueError("no shape")
    if not all(type(length) is int and length >= 0 for length in lengths):
        raise ValueError("no shape")
    return tuple(lengths)
