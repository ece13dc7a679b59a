"""multiformation: several images of low resolution in the bytes of one.

With factor f, each stored grid ``[H, W, c]`` is f x f images of H/f x W/f pixels, row by row:

    images = enlarge(cut(grids))

where ``enlarge`` is bilinear.  So an image of --ipc becomes f^2 images of the same class, each with a label
of its own.
"""

import math
from collections.abc import Mapping
from typing import Any

from rcig_cli.distillation.parametrizations.parametrization import (
    PANEL,
    Counts,
    Decoder,
    Parametrization,
    ParametrizationSettings,
    Shape,
)
from rcig_cli.distillation.parametrizations.resizing import area_matrix, bilinear_matrix, resized
from rcig_cli.errors import ConfigError, listed
from rcig_cli.settings import record, setting


@record
class MultiformationSettings(ParametrizationSettings):
    """Settings of multiformation."""

    factor: int = setting(
        2,
        "Multiformation: N x N images in place of one, each stored at 1/N of its height and width.",
        panel=PANEL,
        ge=2,
    )


def shapes(
    settings: MultiformationSettings, image_shape: Shape, counts: Counts
) -> dict[str, tuple[int, ...]]:
    """Return the shape of the grids.

    Raises
    ------
    ConfigError
        If the factor doesn't divide height and width; the message lists those that do.
    """
    height, width, _ = image_shape
    common = math.gcd(height, width)
    if common % settings.factor:
        usable = [str(factor) for factor in range(2, common + 1) if common % factor == 0]
        advice = f"use {listed(usable)}" if usable else "choose another --parametrization"
        raise ConfigError(f"--factor {settings.factor} does not divide images of {height}x{width}; {advice}.")
    return {"grids": (sum(counts), *image_shape)}


def make(settings: MultiformationSettings, image_shape: Shape, _counts: Counts) -> Decoder:
    """Return the functions between grids and images."""
    height, width, channels = image_shape
    f = settings.factor
    h, w = height // f, width // f

    def decode(stored: Mapping[str, Any]) -> Any:
        rows_of_cells = stored["grids"].reshape(-1, f, h, f, w, channels)
        small = rows_of_cells.transpose(0, 1, 3, 2, 4, 5).reshape(-1, h, w, channels)
        return resized(small, bilinear_matrix(h, height), bilinear_matrix(w, width))

    def encode(images: Any) -> dict[str, Any]:
        small = resized(images, area_matrix(height, h), area_matrix(width, w))
        cells = small.reshape(-1, f, f, h, w, channels).transpose(0, 1, 3, 2, 4, 5)
        return {"grids": cells.reshape(-1, *image_shape)}

    return Decoder(decode, encode)


MULTIFORMATION = Parametrization(
    name="multiformation",
    title="grids of images of low resolution",
    reference="Kim, Kim, Oh, Yun, Song, Jeong, Ha, Song: Dataset Condensation via Efficient Synthetic-Data "
    "Parameterization, ICML 2022",
    settings=MultiformationSettings,
    shapes=shapes,
    make=make,
    images_per_class=lambda settings, ipc: settings.factor**2 * ipc,
)
