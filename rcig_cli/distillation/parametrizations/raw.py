"""raw: the images themselves, as the paper stores them.

images = images
"""

from rcig_cli.distillation.parametrizations.parametrization import (
    Counts,
    Decoder,
    Parametrization,
    ParametrizationSettings,
    Shape,
)
from rcig_cli.settings import record


@record
class RawSettings(ParametrizationSettings):
    """There are none."""


def shapes(_settings: RawSettings, image_shape: Shape, counts: Counts) -> dict[str, tuple[int, ...]]:
    """Return the shape of the images."""
    return {"images": (sum(counts), *image_shape)}


RAW = Parametrization(
    name="raw",
    title="the images themselves",
    reference=None,
    settings=RawSettings,
    shapes=shapes,
    make=lambda *_: Decoder(),
)
