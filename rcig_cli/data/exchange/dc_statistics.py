"""The means and deviations with which the code of DC, DSA, DM, MTT and DD-Ranking normalizes images.

Source: ``get_dataset`` in ``utils.py`` of VICO-UoE/DatasetCondensation (DC, DSA, DM) and of
GeorgeCazenavette/mtt-distillation.  The deviations of CIFAR-10 there aren't those of its pixels, which are
(0.2470, 0.2435, 0.2616), and CIFAR-100 is normalized with the same numbers as CIFAR-10.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rcig_cli.errors import ConfigError

Floats = npt.NDArray[np.float32]

_CIFAR = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2861,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": _CIFAR,
    "cifar100": _CIFAR,
    "tiny_imagenet": _IMAGENET,
    "imagenette": _IMAGENET,
    "imagewoof": _IMAGENET,
}


def dc_statistics(dataset: str, channels: int) -> tuple[Floats, Floats]:
    """Return the means and deviations, float32 ``[c]``, of a data set's pixels from 0 to 1.

    Raises
    ------
    ConfigError
        If they aren't known.
    """
    mean, std = _STATISTICS.get(dataset, ((), ()))
    if len(mean) != channels:
        raise ConfigError(
            f"The means and deviations of {dataset} in the code of DC are not known, only those of "
            f"{', '.join(_STATISTICS)} with as many channels as published: choose another space or format."
        )
    return np.array(mean, np.float32), np.array(std, np.float32)
