"""What both forms of CIFAR-10 and CIFAR-100 share: an image is 3072 bytes, the red, green and blue plane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rcig_cli.data.layouts.records import Records, RecordSource
from rcig_cli.data.sources.class_names import check_every_class
from rcig_cli.data.sources.source import ImageSource, Split

SIDE = 32
IMAGE_BYTES = 3 * SIDE * SIDE
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

CLASSES = {"cifar10": 10, "cifar100": 100}


def to_images(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Bring planes, uint8 ``[b, 3072]``, to images, uint8 ``[b, 32, 32, 3]``."""
    return np.ascontiguousarray(rows.reshape(len(rows), 3, SIDE, SIDE).transpose(0, 2, 3, 1))


def cifar_source(
    name: str,
    where: object,
    class_names: tuple[str, ...],
    records: dict[Split, Records],
    resolution: int | None,
) -> ImageSource:
    """Make a source of CIFAR's records.

    Raises
    ------
    ConfigError
        If a class has no training image; ``where`` begins the sentence.
    """
    check_every_class(where, records["train"].labels, len(class_names))
    return RecordSource(name, class_names, (SIDE, SIDE, 3), records, resolution)
