"""Pixels to network inputs and back.

A pixel p of channel k becomes z = (p / 255 - mean_k) / std_k.  For colour images the flattened z, with D
values, is then whitened: with the covariance C of the N training images and

    C + rho * tr(C) / D * I  =  U S U^T        (rho: the regularization; S descending)

an image becomes W (z - zca_mean) with W = U S^(-1/2) U^T, and W^(-1) = U S^(1/2) U^T turns it back.

**Few images (N < D).**  The data don't determine the eigenvalues past the N-th; they are set to 1, as in the
published implementation.  C = X^T X / N for the centred training images X, ``[N, D]``, has rank r < N.  With
its non-zero eigenvalues s_1 .. s_r, their eigenvectors u_1 .. u_r, and a = rho * tr(C) / D,

    W z  =  z + sum_i ((s_i + a)^(-1/2) - 1) u_i (u_i^T z),     W^(-1) z the same with +1/2 for -1/2,

since W is the identity on the complement of u_1 .. u_r, where eigenvalues are 1.  The u_i follow from the
N x N matrix G = X X^T / N: if G v = s v and s > 0, then u = X^T v / sqrt(N s), and tr(G) = tr(C).  This
takes O(N^2 D) operations instead of O(D^3), is applied in O(N D) an image, and is stored as ``[D, N]``.

A decomposition of the D x D matrix gives the same map, with one difference.  X is centred, so that
r <= N - 1; in that decomposition, the eigenvalues from the (r + 1)-th to the N-th are 0 + a, and rounding
determines which vectors of the null space of C they belong to.  Here they are 1, like all others of the null
space.  Training images, and everything in their span, have no component along such vectors, so they are
whitened in the same way.

An image whose side is above 64 pixels is split into k x k sub-images of every k-th pixel, which share one C,
the average of theirs, and therefore one W; "images" above then means sub-images.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from rcig_cli.data.whitening.moments import (
    Moments,
    dimension_of,
    from_tiles,
    panels,
    rows_of,
    to_tiles,
)
from rcig_cli.errors import ConfigError, Corrupt

Floats = npt.NDArray[np.float32]

_STORED = (
    {"mean", "std"},
    {"mean", "std", "zca_mean", "matrix", "inverse"},
    {"mean", "std", "zca_mean", "basis", "eigenvalues"},
)
"""The names of the arrays of each kind of whitening."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """An affine map between pixels and network inputs, and its inverse.

    Parameters
    ----------
    mean, std
        float32 ``[c]``, of pixels between 0 and 1.
    zca_mean
        float32 ``[H * W * c]``, mean of the standardized training images; None without whitening.
    matrix, inverse
        float32 ``[D, D]``, W and its inverse, with ``D = H * W * c`` up to a side of 64 pixels; None without
        whitening, or where there are fewer training images than D.
    basis, eigenvalues
        float32 ``[D, N]``, u_1 .. u_r and then columns of zeros, and ``[N]``, s_i + a, and 1 for the columns
        of zeros, where there are fewer training images than D; else None.
    """

    mean: Floats
    std: Floats
    zca_mean: Floats | None = None
    matrix: Floats | None = None
    inverse: Floats | None = None
    basis: Floats | None = None
    eigenvalues: Floats | None = None

    @property
    def whitened(self) -> bool:
        """Whether images are whitened, not only standardized by channel."""
        return self.zca_mean is not None

    def apply(self, images: npt.NDArray[np.uint8]) -> Floats:
        """Turn pixels, uint8 ``[b, H, W, c]``, into network inputs, float32 of the same shape."""
        return self.apply_unit(images.astype(np.float32) / np.float32(255))

    def apply_unit(self, images: npt.NDArray[np.floating[Any]]) -> Floats:
        """Turn pixels between 0 and 1, floats ``[b, H, W, c]``, into network inputs, as `apply` does."""
        return self.whiten((images.astype(np.float32) - self.mean) / self.std)

    def whiten(self, values: Floats) -> Floats:
        """Whiten standardized images, float32 ``[b, H, W, c]``: the last part of `apply`."""
        if self.zca_mean is None:
            return values
        return self._multiply(values - self.zca_mean.reshape(values.shape[1:]), self.matrix, -0.5)

    def invert(self, images: npt.NDArray[np.floating[Any]]) -> Floats:
        """Turn network inputs, floats ``[b, H, W, c]``, into pixels on a scale from 0 to 255.

        The pixels are float32 of the same shape, neither clipped nor rounded.
        """
        values = images.astype(np.float32)
        if self.zca_mean is not None:
            values = self._multiply(values, self.inverse, 0.5) + self.zca_mean.reshape(values.shape[1:])
        return (values * self.std + self.mean) * np.float32(255)

    def _multiply(self, images: Floats, dense: Floats | None, exponent: float) -> Floats:
        """Multiply by a power of the regularized covariance: the dense matrix, where there is one."""
        tiles = to_tiles(images)
        if dense is not None:
            # The matrix is symmetric, so rows may be multiplied from the right.
            rows = tiles.reshape(-1, len(dense)) @ dense
        else:
            assert self.basis is not None
            assert self.eigenvalues is not None
            rows = tiles.reshape(-1, len(self.basis))
            change = self.eigenvalues ** np.float32(exponent) - np.float32(1)
            rows = rows + (rows @ self.basis * change) @ self.basis.T
        return from_tiles(rows.reshape(tiles.shape))

    def pixels(self, images: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
        """Turn network inputs, floats ``[b, H, W, c]``, into uint8 pixels, rounded and clipped."""
        return np.clip(np.rint(self.invert(images)), 0, 255).astype(np.uint8)

    def arrays(self) -> dict[str, Floats]:
        """Return what has to be stored, by name; what is None is left out."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Whitening:
        """Rebuild a whitening from what `arrays` returned; raises Corrupt if some of it is missing."""
        if arrays.keys() not in _STORED:
            raise Corrupt("Part of the stored whitening is missing: prepare the data set again.")
        return cls(**{name: np.asarray(array, dtype=np.float32) for name, array in arrays.items()})


def array_shapes(shape: tuple[int, int, int], count: int, *, whiten: bool) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the arrays of a whitening fitted to ``count`` images ``(H, W, c)``."""
    shapes: dict[str, tuple[int, ...]] = {"mean": (shape[2],), "std": (shape[2],)}
    if whiten:
        dimension, rows = dimension_of(shape), rows_of(shape, count)
        shapes["zca_mean"] = (math.prod(shape),)
        if rows < dimension:
            shapes |= {"basis": (dimension, rows), "eigenvalues": (rows,)}
        else:
            shapes |= {"matrix": (dimension, dimension), "inverse": (dimension, dimension)}
    return shapes


def fit_to(
    moments: Moments,
    *,
    mean: Iterable[float] | None = None,
    std: Iterable[float] | None = None,
    regularization: float = 0.1,
) -> Whitening:
    """Fit the map to the statistics of training images.

    Parameters
    ----------
    moments
        The statistics of all training images.  Their products, if gathered, are overwritten; memory then
        peaks at about 40 ``D**2`` bytes, 6 GB at 64 RGB pixels: the covariance, and four more matrices of its
        size that LAPACK works in.
    mean, std
        Per channel, of pixels between 0 and 1; measured where not given.  A measured deviation of 0 (a
        blank channel) counts as 1.
    regularization
        Added to every eigenvalue, as a share of their average; above 0.

    Raises
    ------
    ConfigError
        If all images are the same.
    """
    channel_mean = moments.channel_mean() if mean is None else np.asarray(list(mean))
    measured_std = moments.channel_std()
    channel_std = np.where(measured_std > 0, measured_std, 1.0) if std is None else np.asarray(list(std))
    if moments.gather == "squares":
        return Whitening(channel_mean.astype(np.float32), channel_std.astype(np.float32))
    return _whitening(moments, channel_mean, channel_std, regularization)


def _whitening(
    moments: Moments, mean: npt.NDArray[np.float64], std: npt.NDArray[np.float64], regularization: float
) -> Whitening:
    # Stored and used in float32: zca_mean must undo exactly the standardization that apply computes.
    mean, std = mean.astype(np.float32).astype(np.float64), std.astype(np.float32).astype(np.float64)
    zca_mean = (moments.mean() / 255 - mean) / std
    scale = np.tile(1 / (255 * std), dimension_of(moments.shape) // len(std))
    fitted: dict[str, npt.NDArray[np.floating[Any]]] = {
        "mean": mean,
        "std": std,
        "zca_mean": zca_mean.ravel(),
    }
    if moments.gather == "images":
        rows = moments.centred_rows()
        rows *= scale
        basis, eigenvalues = low_rank(rows, regularization)
        fitted |= {"basis": basis, "eigenvalues": eigenvalues}
    else:
        covariance = moments.covariance()
        covariance *= scale
        covariance *= scale[:, None]
        matrix, inverse = _roots(covariance, regularization)
        fitted |= {"matrix": matrix, "inverse": inverse}
    return Whitening(**{name: array.astype(np.float32, copy=False) for name, array in fitted.items()})


def low_rank(
    rows: npt.NDArray[np.float64], regularization: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Decompose the regularized covariance of fewer vectors than they have elements.

    Parameters
    ----------
    rows
        X, centred vectors ``[N, D]``, N < D.
    regularization
        Added to every eigenvalue, as a share of their average.

    Returns
    -------
    ndarray, ndarray
        The eigenvectors u_1 .. u_r and columns of zeros, ``[D, N]``; s_i + a and ones, ``[N]``; descending.

    Raises
    ------
    ConfigError
        If all vectors are zero.
    """
    count, dimension = rows.shape
    gram = rows @ rows.T / count
    added = _added(float(np.trace(gram)), dimension, regularization)
    ascending, vectors = np.linalg.eigh(gram)
    found, vectors = ascending[::-1], vectors[:, ::-1]
    rank = int((found > found[0] * dimension * np.finfo(np.float64).eps).sum())
    basis = np.zeros((dimension, count))
    np.matmul(rows.T, vectors[:, :rank] / np.sqrt(count * found[:rank]), out=basis[:, :rank])
    # LAPACK may return either sign of an eigenvector: fix it, so that equal data always give equal arrays.
    largest = basis[np.abs(basis).argmax(axis=0), np.arange(count)]
    basis *= np.where(largest < 0, -1.0, 1.0)
    eigenvalues = np.ones(count)
    eigenvalues[:rank] = found[:rank] + added
    return basis, eigenvalues


def _added(trace: float, dimension: int, regularization: float) -> float:
    added = regularization * trace / dimension
    if not added > 0:
        raise ConfigError("All training images are the same, so there is nothing to whiten: use --no-zca.")
    return added


def _roots(covariance: npt.NDArray[np.float64], regularization: float) -> tuple[Floats, Floats]:
    """Return the inverse square root and the square root of the regularized covariance."""
    added = _added(float(np.trace(covariance)), len(covariance), regularization)
    # SciPy's eigh would take less memory but hold the GIL: a signal would have to wait for minutes.
    ascending, vectors = np.linalg.eigh(covariance)
    # A covariance has no negative eigenvalues; what is below 0 is rounding.
    eigenvalues = np.maximum(ascending, 0) + added
    return _power(vectors, eigenvalues, -0.5), _power(vectors, eigenvalues, 0.5)


def _power(vectors: npt.NDArray[np.float64], eigenvalues: npt.NDArray[np.float64], exponent: float) -> Floats:
    """Return ``U S^exponent U^T``, computed some rows at a time, one half of the symmetric matrix."""
    scale = eigenvalues**exponent
    power = np.empty(vectors.shape, dtype=np.float32)
    for panel in panels(len(power)):
        power[panel, panel.start :] = (vectors[panel] * scale) @ vectors[panel.start :].T
        power[panel.stop :, panel] = power[panel, panel.stop :].T
    return power
