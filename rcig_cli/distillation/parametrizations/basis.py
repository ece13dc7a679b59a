"""basis: images of low resolution that all classes share, and each distilled image a mixture of them.

    images[i] = enlarge( sum_k mixing[i, k] bases[k] )

where ``enlarge`` is bilinear.  Stored are K bases and the coefficients of each image, which has a label of
its own.  By default K is the largest for which both together take no more numbers than the images of --ipc.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rcig_cli.distillation.parametrizations.parametrization import (
    PANEL,
    Counts,
    Decoder,
    Parametrization,
    ParametrizationSettings,
    Shape,
)
from rcig_cli.distillation.parametrizations.resizing import area_matrix, bilinear_matrix, resized
from rcig_cli.errors import ConfigError
from rcig_cli.settings import record, setting


@record
class BasisSettings(ParametrizationSettings):
    """Settings of a basis.

    None stands for a default that depends on the data set, and on the settings before it.
    """

    mixtures: int = setting(
        5,
        "Basis: distilled images in place of each one of --ipc, all mixtures of the basis.",
        panel=PANEL,
        ge=1,
    )
    basis_size: int | None = setting(
        None,
        "Basis: height of its images in pixels. Default: half of that of the distilled ones.",
        panel=PANEL,
        ge=1,
    )
    bases: int | None = setting(
        None,
        "Basis: images in the basis. Default: as many as fit, with the mixing coefficients, into the bytes "
        "of --ipc images per class.",
        panel=PANEL,
        ge=1,
    )
    mixing_lr: float = setting(
        3e-3, "Basis: learning rate for mixing coefficients (AdaBelief).", panel=PANEL, gt=0
    )


def defaults(image_shape: Shape, counts: Counts, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the size and the number of bases."""
    size = given.get("basis_size", max(1, image_shape[0] // 2))
    images = sum(counts) * given.get("mixtures", BasisSettings().mixtures)
    raw = sum(counts) * math.prod(image_shape)
    return {"basis_size": size, "bases": max(1, _most_bases(_basis_shape(size, image_shape), images, raw))}


def _most_bases(basis: Shape, images: int, raw: int) -> int:
    """The most bases that are of use and that take, with their coefficients, no more than ``raw`` numbers."""
    numbers = math.prod(basis)
    return min(images, numbers, raw // (numbers + images))


def _basis_shape(size: int, image_shape: Shape) -> Shape:
    height, width, channels = image_shape
    return size, max(1, round(size * width / height)), channels


def shapes(settings: BasisSettings, image_shape: Shape, counts: Counts) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the bases and of the mixing coefficients.

    Raises
    ------
    ConfigError
        If bases are larger than images, or there are more of them than can be of use or than the bytes of
        --ipc allow.
    """
    assert settings.bases is not None
    assert settings.basis_size is not None
    height = image_shape[0]
    if settings.basis_size > height:
        raise ConfigError(
            f"--basis-size {settings.basis_size} is more than the height of the images, {height} pixels."
        )
    basis, images = _basis_shape(settings.basis_size, image_shape), settings.mixtures * sum(counts)
    most = _most_bases(basis, images, sum(counts) * math.prod(image_shape))
    size = f"{basis[0]}x{basis[1]} pixels"
    if not most:
        raise ConfigError(
            f"The bytes of --ipc don't allow a single basis of {size} with coefficients for {images} images: "
            "choose a smaller --mixtures or --basis-size."
        )
    if settings.bases > most:
        raise ConfigError(
            f"--bases {settings.bases} is too many: {images} images of {size} can use up to {most} in the "
            "bytes of --ipc."
        )
    return {"bases": (settings.bases, *basis), "mixing": (images, settings.bases)}


def make(settings: BasisSettings, image_shape: Shape, counts: Counts) -> Decoder:
    """Return the functions between bases with mixing coefficients and images."""
    height, width, _ = image_shape
    count, *basis = shapes(settings, image_shape, counts)["bases"]
    h, w, _ = basis

    def decode(stored: Mapping[str, Any]) -> Any:
        mixed = stored["mixing"] @ stored["bases"].reshape(count, -1)
        return resized(mixed.reshape(-1, *basis), bilinear_matrix(h, height), bilinear_matrix(w, width))

    def encode(images: Any) -> dict[str, Any]:
        # The best approximation of the reduced images, with bases of a mean square of 1.
        small = resized(images, area_matrix(height, h), area_matrix(width, w)).reshape(len(images), -1)
        left, values, right = np.linalg.svd(small, full_matrices=False)
        scale = math.sqrt(small.shape[1])
        bases = (scale * right[:count]).reshape(count, *basis)
        return {"bases": bases, "mixing": left[:, :count] * (values[:count] / scale)}

    return Decoder(decode, encode, {"mixing": settings.mixing_lr})


BASIS = Parametrization(
    name="basis",
    title="shared bases of low resolution and mixing coefficients",
    reference="Deng, Russakovsky: Remember the Past: Distilling Datasets into Addressable Memories for "
    "Neural Networks, NeurIPS 2022",
    settings=BasisSettings,
    shapes=shapes,
    make=make,
    images_per_class=lambda settings, ipc: settings.mixtures * ipc,
    shared=("bases",),
    defaults=defaults,
)
