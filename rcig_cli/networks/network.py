"""A network as a value: a body that makes features, and a linear head that makes logits of them.

    logits = features(images) kernel + bias

The split is the one the algorithm makes: it solves for the head's kernel in closed form and linearises the
rest.  So parameters are always ``{"body": ..., "head": {"kernel": [d, C], "bias": [C]}}``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.errors import ConfigError
from rcig_cli.networks.convnet import ConvNet

Parameters = Mapping[str, Any]

ARCHITECTURES = ("convnet",)
NORMALIZATIONS = ("none",)


@dataclass(frozen=True)
class Network:
    """A body and a linear head.

    Attributes
    ----------
    body
        Flax module from images ``[b, H, W, c]`` to features ``[b, d]``.
    classes
        Number of logits, C.
    image_shape
        ``(H, W, c)``.
    """

    body: ConvNet
    classes: int
    image_shape: tuple[int, int, int]

    def init(self, key: Array) -> Parameters:
        """Draw fresh parameters: LeCun-normal kernels, zero biases."""
        key_body, key_head = jax.random.split(key)
        image = jnp.zeros((1, *self.image_shape))
        features, variables = self.body.init_with_output(key_body, image)
        kernel = nn.initializers.lecun_normal()(key_head, (features.size, self.classes))
        head = {"kernel": kernel, "bias": jnp.zeros(self.classes)}
        return {"body": variables["params"], "head": head}

    def apply(self, parameters: Parameters, images: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]`` of images ``[b, H, W, c]``."""
        return self.upper(parameters, self.lower(parameters["body"], images))

    @property
    def lower_layers(self) -> tuple[str, ...]:
        """Keys, in the body's parameters, of all layers but the last, from the images up."""
        return tuple(f"block_{i}" for i in range(self.body.depth - 1))

    def lower(self, body: Parameters, images: Array) -> Array:
        """What the layers but the last make of images: ``[b, h, w, k]``."""
        z = self.body.apply({"params": body}, images, slice(None, -1))
        assert isinstance(z, Array)
        return z

    def upper(self, parameters: Parameters, z: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]`` of what ``lower`` gave."""
        features = self.body.apply({"params": parameters["body"]}, z, slice(-1, None))
        assert isinstance(features, Array)
        head, flat = parameters["head"], features.reshape(z.shape[0], -1)
        return flat @ head["kernel"] + head["bias"], flat


def build_network(
    architecture: str,
    *,
    image_shape: tuple[int, int, int],
    classes: int,
    width: int,
    depth: int,
    activation: str = "relu",
) -> Network:
    """Build a network by its name.

    Raises
    ------
    ConfigError
        If the name is unknown, or the images are too small for the depth.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"unknown architecture {architecture!r}; there is: {', '.join(ARCHITECTURES)}")
    padded = image_shape[0] + (4 if image_shape[2] == 1 else 0)
    if padded >> depth < 1:
        raise ConfigError(
            f"images of {image_shape[0]} px are too small for a ConvNet of depth {depth}; use --depth "
            f"{padded.bit_length() - 1} or less"
        )
    return Network(ConvNet(depth, width, activation), classes, image_shape)
