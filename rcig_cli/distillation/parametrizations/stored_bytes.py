"""The size of a distilled set: the bytes of its stored arrays as float32, before any compression."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

_FLOAT32 = 4


@dataclass(frozen=True)
class StoredBytes:
    """Bytes of a distilled set.

    Papers compare sets by the bytes of their images alone, so labels are counted separately.

    Attributes
    ----------
    images
        Of all arrays from which the images are decoded, such as mixing coefficients.
    labels
        Of the labels.
    """

    images: int
    labels: int

    @classmethod
    def of(cls, stored: Iterable[tuple[int, ...]], labels: tuple[int, ...]) -> Self:
        """Count the bytes of stored arrays and of labels, by their shapes."""
        return cls(_FLOAT32 * sum(map(math.prod, stored)), _FLOAT32 * math.prod(labels))

    def to_json(self) -> dict[str, int]:
        """Return the bytes as a manifest records them."""
        return {"images": self.images, "labels": self.labels}
