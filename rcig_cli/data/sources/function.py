"""A data set that a function of the user's own returns (``docs/extending.md``).

The function is called without arguments and returns ``x_train, y_train, x_test, y_test`` and, if the classes
have names, ``class_names``.  The arrays may have all forms that those in an ``.npz`` file may have.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.arrays.opening import Pair, open_arrays
from rcig_cli.data.arrays.stored import ArrayFile
from rcig_cli.data.sources.options import ReadOptions
from rcig_cli.data.sources.source import ImageSource, Split
from rcig_cli.errors import ConfigError, RcigError, shorten
from rcig_cli.extensions import describe, load, provenance

_NAMES = ("x_train", "y_train", "x_test", "y_test", "class_names")


def open_function(name: str, reference: str, options: ReadOptions) -> ImageSource:
    """Import and call a function, and open the arrays that it returns.

    Parameters
    ----------
    name, options
        As in `opening.open_source`.
    reference
        ``package.module:NAME``.

    Raises
    ------
    ConfigError
        If it can't be imported, fails, or returns something else.
    """
    options.check_used(("range", "layout"), f"the function {reference}")
    function = load("dataset", reference)
    if not callable(function):
        raise ConfigError(f"{reference} is {shorten(function)}: expected a function that returns arrays.")
    try:
        returned = function()
    except RcigError:
        raise
    except Exception as error:  # the function may raise anything
        raise ConfigError(f"{reference}() fails: {describe(error)}. --debug shows where.") from error
    if not isinstance(returned, tuple | list) or len(returned) not in (4, 5):
        count = f" of {len(returned)}" if isinstance(returned, tuple | list) else ""
        raise ConfigError(
            f"{reference} returned a {type(returned).__name__}{count}: expected the arrays x_train, y_train, "
            "x_test, y_test, and optionally class_names."
        )
    if len(returned) == len(_NAMES) and returned[-1] is None:  # the classes have no names
        returned = returned[:-1]
    try:
        arrays = {key: np.asarray(value) for key, value in zip(_NAMES, returned, strict=False)}
    except Exception as error:  # lists of images of several sizes, tensors of another library on a GPU
        raise ConfigError(
            f"{reference} returned values that can't be turned into NumPy arrays: {describe(error)}."
        ) from error
    class_names = arrays.pop("class_names", None)
    splits: tuple[Split, Split] = ("train", "test")
    pairs = {}
    for split in splits:
        images = _in_memory(arrays[f"x_{split}"], f"x_{split} of {reference}")
        pairs[split] = Pair(images, arrays[f"y_{split}"], f"y_{split} of {reference}")
    names = None if class_names is None else tuple(map(str, class_names.reshape(-1)))
    source = open_arrays(name, reference, pairs, options, class_names=names)
    source.origin["extensions"] = {reference: provenance(reference)}
    source.origin["arrays"] = {key: _digest(array) for key, array in arrays.items()}
    return source


def _in_memory(array: npt.NDArray[Any], name: str) -> ArrayFile:
    def blocks(rows: int) -> Iterator[npt.NDArray[Any]]:
        return (array[start : start + rows] for start in range(0, len(array), rows))

    return ArrayFile(name, array.shape, array.dtype, blocks)


def _digest(array: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
