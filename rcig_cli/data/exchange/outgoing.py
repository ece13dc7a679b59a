"""A distilled set as it is handed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.exchange.foreign import WHITENING
from rcig_cli.data.whitening.whitening import Whitening


@dataclass(frozen=True, eq=False)
class OutgoingSet:
    """A distilled set, and all that is needed to use it elsewhere.

    Attributes
    ----------
    run, dataset
        Its name, and that of the data set it stands for.
    class_names
        C names.
    images, labels, classes
        ``[n, H, W, c]`` as a network sees them, ``[n, C]`` and ``[n]``.
    whitening
        The map between pixels and what a network sees.
    """

    run: str
    dataset: str
    class_names: tuple[str, ...]
    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    whitening: Whitening

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The images in natural colours, uint8 ``[n, H, W, c]``: what can be shown of them."""
        return self.whitening.pixels(self.images)

    def whitening_arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """The whitening and its inverse, by name."""
        return {WHITENING + name: array for name, array in self.whitening.arrays().items()}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All arrays, by name."""
        own: dict[str, npt.NDArray[Any]] = {
            "images": self.images,
            "labels": self.labels,
            "classes": self.classes,
            "pixels": self.pixels(),
        }
        return {**own, **self.whitening_arrays()}
