"""The arrays in MATLAB's files of version 5, which MATLAB calls v6 and v7 (``.mat``), read by SciPy."""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import numpy.typing as npt

from rcig_cli.data.files import open_file, read_exactly
from rcig_cli.errors import ConfigError, Corrupt, RcigError

_LARGEST = 2**29  # bytes: SciPy reads an array as a whole
_TYPES = {
    **{"double": "f8", "single": "f4", "logical": "?"},
    **{f"{kind}{8 * size}": f"{kind[0]}{size}" for kind in ("int", "uint") for size in (1, 2, 4, 8)},
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class MatlabArray:
    """An array of numbers in a ``.mat`` file, not yet read, with its axes in reverse order.

    Attributes
    ----------
    path, name
        The file, and the array's name in it.
    shape, dtype
        MATLAB's axes reversed, so that the first counts the images of a stack, and the type in MATLAB.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __str__(self) -> str:
        return f"{self.path}: {self.name[:80]!r}"

    def blocks(self, rows: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the array in pieces of ``rows`` along its first axis; the last may have fewer."""
        whole = self.read(_LARGEST)
        for start in range(0, len(whole), rows):
            yield np.ascontiguousarray(whole[start : start + rows])

    def read(self, most: int) -> npt.NDArray[Any]:
        """Read the whole array; raises `ConfigError` if it has more than ``most`` bytes."""
        from scipy.io import loadmat

        if math.prod(self.shape) * self.dtype.itemsize > most:
            raise ConfigError(f"{self} is too large: the limit is {most} bytes.")
        with open_file(self.path) as file:
            content = _call(lambda: loadmat(file, variable_names=[self.name]), self.path)
        found = np.asarray(content.get(self.name)).T
        if found.shape != self.shape or found.dtype.kind not in "biuf":
            raise ConfigError(f"{self} does not hold real numbers: save it without complex ones.")
        return found.astype(self.dtype, copy=False)  # MATLAB stores whole numbers as shorter types


def matlab_arrays(path: Path, *, inside: Path | None = None) -> dict[str, MatlabArray]:
    """Read the names, shapes and types of all arrays of numbers in a ``.mat`` file.

    Raises
    ------
    NotFound, Corrupt, ConfigError, RcigError
        If the file is missing, is damaged, is of version 4 or 7.3, or can't be read; ConfigError too if it is
        a link that leads out of the folder ``inside``.
    """
    from scipy.io import whosmat

    with open_file(path, inside=inside) as file:
        _check_elements(file, path)
        listed = _call(lambda: whosmat(file), path)
    return {
        name: MatlabArray(path, name, tuple(reversed(shape)), np.dtype(_TYPES[kind]))
        for name, shape, kind in listed
        if kind in _TYPES
    }


def _check_elements(file: IO[bytes], path: Path) -> None:
    """Check the version, and that the elements, each with its length, end where the file does.

    SciPy would list the arrays of a file that is cut short as if it were complete.
    """
    header = file.read(128)
    if header.startswith(b"MATLAB 7.3"):
        raise ConfigError(f"{path} is of MATLAB's version 7.3, which isn't read: save it with -v7.")
    if header[126:] not in (b"IM", b"MI"):
        raise Corrupt(f"{path} is not a MATLAB file of version 5: download it again, or save it with -v7.")
    order, place, size = "<" if header[126:] == b"IM" else ">", 128, path.stat().st_size
    while place < size:
        file.seek(place)
        _, length = struct.unpack(order + "II", read_exactly(file, 8, path))
        place += 8 + length
    if place != size:
        raise Corrupt(f"{path} is cut short: download or copy it again.")
    file.seek(0)


def _call(function: Callable[[], Result], path: Path) -> Result:
    try:
        with warnings.catch_warnings(action="ignore"):
            return function()
    except RcigError:
        raise
    except Exception as error:  # SciPy raises errors of almost any kind on damaged files
        if isinstance(error, OSError) and error.errno:
            raise
        raise Corrupt(f"{path} is damaged or cut short: download or copy it again.") from error
