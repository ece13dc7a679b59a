"""The published checkpoints of RCIG and FRePo: a training state as Flax writes it, in MessagePack.

::

    {"ema_average": {"x_proto": [n, H, W, c], "y_proto": [n, C], ...},  "params": {the same},  "step": ...}

The average is taken where there is one, because it is what the authors evaluated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rcig_cli.data.exchange.class_order import usual_order
from rcig_cli.data.exchange.records import Array, DatasetInfo, Format, LazyArray, SetFile
from rcig_cli.data.sources.source import Note
from rcig_cli.errors import ConfigError, Corrupt

_ROOTS = ("ema_average", "params")
_WANTED = ("x_proto", "y_proto")
_LARGEST_FILE = 2**32  # bytes; the whole file is read into memory


def recognize(_: Path, head: bytes) -> bool:
    """Whether a file begins with a map of MessagePack that isn't empty."""
    return bool(head) and (0x81 <= head[0] <= 0x8F or head[0] in (0xDE, 0xDF))


def read_set(path: Path, dataset: DatasetInfo) -> SetFile:
    """Read the two arrays of a published checkpoint of at most 4 GiB; see `Format.read`."""
    from flax.serialization import msgpack_restore

    if path.stat().st_size > _LARGEST_FILE:
        raise ConfigError(f"{path} is larger than {_LARGEST_FILE} bytes: save only x_proto and y_proto.")
    content = path.read_bytes()
    try:
        pair = _find_pair(msgpack_restore(content))
    except Exception as error:  # Flax doesn't check what it reads, and raises errors of many kinds
        raise Corrupt(
            f"{path} is cut short, damaged, or not a checkpoint written by Flax: copy it again."
        ) from error
    if pair is None:
        raise ConfigError(
            f"{path} has no arrays x_proto and y_proto under ema_average or params: "
            "it isn't a checkpoint of RCIG or FRePo."
        )
    order = f"with class numbers in the order of {dataset.name}"
    text = f"{path} is taken as whitened, {order}, like the published checkpoints."
    arrays = {name: LazyArray.of(array) for name, array in pair.items()}
    return SetFile(path, arrays, "whitened", usual_order(dataset), notes=(Note("range", text),))


def _find_pair(tree: Any) -> dict[str, Array] | None:
    if not isinstance(tree, dict):
        return None
    if all(isinstance(tree.get(name), np.ndarray) for name in _WANTED):
        return {name: tree[name] for name in _WANTED}
    found = (_find_pair(tree.get(root)) for root in _ROOTS)
    return next((pair for pair in found if pair is not None), None)


FORMAT = Format("flax", recognize, read_set)
