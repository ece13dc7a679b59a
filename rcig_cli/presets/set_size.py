"""The size of a distilled set: what is stored, and the number of images that networks see.  Needs no JAX."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from rcig_cli.distillation.parametrizations import StoredBytes
from rcig_cli.presets.config import DEFAULT_PARAMETRIZATION, DistillConfig, Shape


@dataclass(frozen=True)
class SetSize:
    """The size of a distilled set.

    Attributes
    ----------
    parametrization
        What the set stores, by the name that ``--parametrization`` has for it.
    images
        Number of images that networks see.
    raw_images
        Number of raw images whose bytes the stored arrays may take: ``--ipc`` for each class.
    stored_bytes
        Bytes of the stored arrays, and those of the labels.
    """

    parametrization: str
    images: int
    raw_images: int
    stored_bytes: StoredBytes

    @classmethod
    def of(cls, config: DistillConfig, image_shape: Shape, classes: int) -> Self:
        """Return the size of the set that a configuration distils, of images of a shape ``(H, W, c)``."""
        return cls(
            config.parametrization,
            sum(config.decoded_per_class(classes)),
            sum(config.images_per_class(classes)),
            config.stored_bytes(image_shape, classes),
        )

    @property
    def is_raw(self) -> bool:
        """Whether the images themselves are stored."""
        return self.parametrization == DEFAULT_PARAMETRIZATION

    def to_json(self) -> dict[str, Any]:
        """Return the size as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned; the document may have more keys."""
        return cls(
            document["parametrization"],
            document["images"],
            document["raw_images"],
            StoredBytes(**document["stored_bytes"]),
        )
