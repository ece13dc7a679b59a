"""Pixels to network inputs and back.

A pixel p of channel k becomes z = (p / 255 - mean_k) / std_k.  For colour images the flattened z is
then whitened: with the covariance C of the training images, D x D, and

    C + regularisation * tr(C) / D * I  =  U S U^T        (S descending),

an image becomes W (z - zca_mean), W = U S^(-1/2) U^T, and comes back by the inverse U S^(1/2) U^T.
Eigenvalues past the number of training images say nothing about the data and count as 1.

An image whose side is above 64 pixels is taken apart into k x k sub-images of every k-th pixel, which
share one C, the average of theirs, and so one W.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.moments import Moments, from_tiles, gather, panels, to_tiles
from rcig_cli.errors import ConfigError, Corrupt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Whitening:
    """An affine map between pixels and network inputs, and its inverse.

    Parameters
    ----------
    mean, std
        float32 ``[c]``, of pixels between 0 and 1.
    zca_mean
        float32 ``[H * W * c]``, mean of the standardised training images; None without whitening.
    matrix, inverse
        float32 ``[D, D]``, ``D = H * W * c`` up to a side of 64 pixels; None without whitening.
    """

    mean: Floats
    std: Floats
    zca_mean: Floats | None = None
    matrix: Floats | None = None
    inverse: Floats | None = None

    @property
    def whitened(self) -> bool:
        """Whether more than the channels' means and deviations is removed."""
        return self.matrix is not None

    def apply(self, images: npt.NDArray[np.uint8]) -> Floats:
        """Turn pixels into network inputs.

        Parameters
        ----------
        images
            uint8 ``[b, H, W, c]``.

        Returns
        -------
        ndarray
            float32 ``[b, H, W, c]``.
        """
        return self.apply_unit(images.astype(np.float32) / np.float32(255))

    def apply_unit(self, images: npt.NDArray[np.floating[Any]]) -> Floats:
        """Turn pixels between 0 and 1, floats ``[b, H, W, c]``, into network inputs, as `apply` does."""
        return self.whiten((images.astype(np.float32) - self.mean) / self.std)

    def whiten(self, values: Floats) -> Floats:
        """Whiten standardised images, float32 ``[b, H, W, c]``: the last part of `apply`."""
        if self.matrix is None or self.zca_mean is None:
            return values
        return _multiply(values - self.zca_mean.reshape(values.shape[1:]), self.matrix)

    def invert(self, images: npt.NDArray[np.floating[Any]]) -> Floats:
        """Turn network inputs into pixels on a scale from 0 to 255, neither clipped nor rounded.

        Parameters
        ----------
        images
            Floats ``[b, H, W, c]``.

        Returns
        -------
        ndarray
            float32 ``[b, H, W, c]``.
        """
        values = images.astype(np.float32)
        if self.inverse is not None and self.zca_mean is not None:
            values = _multiply(values, self.inverse) + self.zca_mean.reshape(values.shape[1:])
        return (values * self.std + self.mean) * np.float32(255)

    def pixels(self, images: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
        """Turn network inputs into pixels that can be shown.

        Parameters
        ----------
        images
            Floats ``[b, H, W, c]``.

        Returns
        -------
        ndarray
            uint8 ``[b, H, W, c]``, rounded and clipped.
        """
        return np.clip(np.rint(self.invert(images)), 0, 255).astype(np.uint8)

    def arrays(self) -> dict[str, Floats]:
        """Give what has to be stored, by name; what is None is left out."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Whitening:
        """Rebuild what ``arrays`` gave.

        Parameters
        ----------
        arrays
            By name; more than what is needed does no harm.

        Returns
        -------
        Whitening
            With float32 arrays.

        Raises
        ------
        Corrupt
            If arrays are missing, don't fit each other, or hold numbers that aren't finite.
        """
        names = [field.name for field in fields(cls) if field.name in arrays]
        found = {name: np.asarray(arrays[name], dtype=np.float32) for name in names}
        if not _consistent(found):
            raise Corrupt("The stored whitening is damaged: prepare the data set again.")
        return cls(**found)


def _multiply(images: Floats, matrix: Floats) -> Floats:
    # The matrix is symmetric, so rows may be multiplied from the right.
    tiles = to_tiles(images)
    return from_tiles((tiles.reshape(-1, len(matrix)) @ matrix).reshape(tiles.shape))


def _consistent(arrays: Mapping[str, Floats]) -> bool:
    if not {"mean", "std"} <= set(arrays) or not all(np.isfinite(array).all() for array in arrays.values()):
        return False
    channels = arrays["mean"].shape
    if len(channels) != 1 or arrays["std"].shape != channels or not (arrays["std"] > 0).all():
        return False
    return len(arrays) == 2 or _consistent_zca(arrays)


def _consistent_zca(arrays: Mapping[str, Floats]) -> bool:
    if len(arrays) != 5 or arrays["zca_mean"].ndim != 1 or arrays["matrix"].ndim != 2:
        return False
    rows, columns = arrays["matrix"].shape
    square = rows == columns and arrays["inverse"].shape == (rows, columns)
    return square and rows > 0 and arrays["zca_mean"].size % rows == 0


def fit(
    batches: Iterable[npt.NDArray[np.uint8]],
    *,
    mean: Iterable[float] | None = None,
    std: Iterable[float] | None = None,
    zca: bool,
    regularisation: float = 0.1,
) -> Whitening:
    """Measure the map on the training images, in one pass.

    Parameters
    ----------
    batches
        Training images, uint8 ``[b, H, W, c]``, of any batch sizes.  Not read if there is nothing left
        to measure.
    mean, std
        Per channel, of pixels between 0 and 1; measured where not given.  A measured deviation of 0 (a
        blank channel) counts as 1.
    zca
        Whether to whiten beyond means and deviations.
    regularisation
        Added to every eigenvalue, as a share of their average; above 0.

    Returns
    -------
    Whitening
        The map.  Memory taken is about 40 ``D**2`` bytes, 6 GB at 64 RGB pixels: the covariance, and four
        such matrices more that LAPACK works in.

    Raises
    ------
    ConfigError
        If there are no images, all are the same, or ``regularisation`` or the image size can't be used.
    """
    check_regularisation(regularisation)
    if mean is not None and std is not None and not zca:
        return Whitening(_floats(mean), _floats(std))
    moments = gather(batches, products=zca)
    return fit_to(moments, mean=mean, std=std, regularisation=regularisation)


def check_regularisation(regularisation: float) -> None:
    """Refuse a regularisation that isn't above 0.

    Raises
    ------
    ConfigError
        If it can't be used.
    """
    if not (np.isfinite(regularisation) and regularisation > 0):
        raise ConfigError(f"A whitening regularisation of {regularisation} can't be used: give one above 0.")


def fit_to(
    moments: Moments,
    *,
    mean: Iterable[float] | None = None,
    std: Iterable[float] | None = None,
    regularisation: float = 0.1,
) -> Whitening:
    """Compute the map from what was measured on the training images; see ``fit``.

    Parameters
    ----------
    moments
        The sums over all of them, with products if images are to be whitened; those are used up.
    mean, std, regularisation
        As in ``fit``.

    Raises
    ------
    ConfigError
        If all images are the same.
    """
    channel_mean = moments.channel_mean() if mean is None else np.asarray(list(mean))
    channel_std = _no_zeros(moments.channel_std()) if std is None else np.asarray(list(std))
    if not moments.products:
        return Whitening(_floats(channel_mean), _floats(channel_std))
    return _whitening(moments, channel_mean, channel_std, regularisation)


def _no_zeros(std: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(std > 0, std, 1.0)


def _floats(values: Iterable[float] | npt.NDArray[Any]) -> Floats:
    return np.asarray(list(values), dtype=np.float32)


def _whitening(
    moments: Moments, mean: npt.NDArray[np.float64], std: npt.NDArray[np.float64], regularisation: float
) -> Whitening:
    # Stored and used in float32: zca_mean must undo exactly the standardisation that apply computes.
    mean, std = mean.astype(np.float32).astype(np.float64), std.astype(np.float32).astype(np.float64)
    zca_mean = (moments.mean() / 255 - mean) / std
    covariance = moments.covariance()
    scale = np.tile(1 / (255 * std), len(covariance) // len(std))
    covariance *= scale
    covariance *= scale[:, None]
    matrix, inverse = _roots(covariance, moments.rows, regularisation)
    return Whitening(_floats(mean), _floats(std), zca_mean.ravel().astype(np.float32), matrix, inverse)


def _roots(covariance: npt.NDArray[np.float64], rows: int, regularisation: float) -> tuple[Floats, Floats]:
    """Give the inverse square root and the square root of the regularised covariance."""
    added = regularisation * float(np.trace(covariance)) / len(covariance)
    if not added > 0:
        raise ConfigError("All training images are the same, so there is nothing to whiten: use --no-zca.")
    # SciPy's would take less memory, but let no other thread run: a signal would wait for minutes.
    ascending, vectors = np.linalg.eigh(covariance)
    # A covariance has no negative eigenvalues; what is below 0 is rounding.
    eigenvalues = np.maximum(ascending, 0) + added
    eigenvalues[: max(0, len(eigenvalues) - rows)] = 1
    return _power(vectors, eigenvalues, -0.5), _power(vectors, eigenvalues, 0.5)


def _power(vectors: npt.NDArray[np.float64], eigenvalues: npt.NDArray[np.float64], exponent: float) -> Floats:
    """Give ``U S^exponent U^T``, some rows at a time, and of the symmetric matrix one half."""
    scale = eigenvalues**exponent
    power = np.empty(vectors.shape, dtype=np.float32)
    for panel in panels(len(power)):
        power[panel, panel.start :] = (vectors[panel] * scale) @ vectors[panel.start :].T
        power[panel.stop :, panel] = power[panel, panel.stop :].T
    return power
