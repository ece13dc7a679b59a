"""What a method is made for: everything that its functions depend on besides its own settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
from jax import Array

from rcig_cli.distillation.parametrizations import Decoder
from rcig_cli.distillation.platform import Platform
from rcig_cli.networks.network import Network


@dataclass(frozen=True)
class Task:
    """What is distilled, and on what kind of machine.

    Attributes
    ----------
    network
        The network that is distilled with.
    platform
        The layout of loops and batches.
    steps
        Outer steps of the run, over which a schedule of the learning rates extends.
    decoder
        How images follow from what is stored; by default the images are stored.
    images_per_class
        Distilled images of each class, in the order of the classes, that networks see.
    """

    network: Network
    platform: Platform
    steps: int = 1
    decoder: Decoder = field(default_factory=Decoder)
    images_per_class: tuple[int, ...] = ()

    def decode(self, stored: Mapping[str, Array]) -> Array:
        """Return the images ``[n, H, W, c]`` of stored arrays, in full precision on every device."""
        with jax.default_matmul_precision("highest"):
            images: Array = self.decoder.decode(stored)
        return images
