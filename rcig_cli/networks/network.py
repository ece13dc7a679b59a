"""A network as a value: a body that makes features, and a linear head that makes logits of them.

    logits = features(images) kernel + bias

The split is the one the algorithm makes: it solves for the head's kernel in closed form and linearises the
rest.  So parameters are always ``{"body": ..., "head": {"kernel": [d, C], "bias": [C]}}``.

The statistics of batch norms are no parameters.  A network carries those it divides by (``statistics``), and
so maps each image by itself; in training it divides by the batch's own and keeps running ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from rcig_cli.errors import ConfigError
from rcig_cli.networks.convnet import ConvNet
from rcig_cli.networks.layers import THOSE_SEEN, TRAINING, Statistics

Parameters = Mapping[str, Any]

ARCHITECTURES = ("convnet",)
NORMALIZATIONS = ("none", "batch")


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
    statistics
        What its batch norms divide by, as `first_statistics` and `train` give it.
    """

    body: ConvNet
    classes: int
    image_shape: tuple[int, int, int]
    statistics: Parameters = field(default_factory=dict)

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

    def first_statistics(self) -> Parameters:
        """Running statistics before any training: mean 0, variance 1; nothing without batch norms."""
        if not self._has_statistics:
            return {}
        shapes = jax.eval_shape(self.body.init, jax.random.key(0), jnp.zeros((1, *self.image_shape)))
        fill = {"mean": jnp.zeros, "var": jnp.ones}
        first: Parameters = jax.tree_util.tree_map_with_path(
            lambda path, leaf: fill[path[-1].key](leaf.shape, leaf.dtype), shapes["batch_stats"]
        )
        return first

    def with_statistics(self, statistics: Parameters) -> Self:
        """The network with its norms' statistics fixed."""
        return replace(self, statistics=statistics)

    def with_statistics_of(self, parameters: Parameters, images: Array) -> Self:
        """The network with its norms' statistics fixed at what they are of these images, ``[n, H, W, c]``.

        They count as constants: no gradient goes through them.
        """
        if not self._has_statistics:
            return self
        seen = self._seeing(THOSE_SEEN, parameters, self.first_statistics(), jax.lax.stop_gradient(images))
        return self.with_statistics(seen[1])

    def train(
        self, parameters: Parameters, statistics: Parameters, images: Array
    ) -> tuple[Array, Parameters]:
        """Logits ``[b, C]`` with the statistics of these images, and the running statistics after them."""
        if not self._has_statistics:
            return self.apply(parameters, images)[0], statistics
        features, after = self._seeing(TRAINING, parameters, statistics, images)
        return self._head(parameters, features)[0], after

    @property
    def _has_statistics(self) -> bool:
        return self.body.normalization == "batch"

    def _seeing(
        self, how: Statistics, parameters: Parameters, statistics: Parameters, images: Array
    ) -> tuple[Array, Parameters]:
        variables = {"params": parameters["body"], "batch_stats": statistics}
        features, changed = self.body.clone(statistics=how).apply(variables, images, mutable=["batch_stats"])
        assert isinstance(features, Array)
        return features, changed["batch_stats"]

    @property
    def lower_layers(self) -> tuple[str, ...]:
        """Keys, in the body's parameters, of all layers but the last, from the images up."""
        return tuple(f"block_{i}" for i in range(self.body.depth - 1))

    def lower(self, body: Parameters, images: Array) -> Array:
        """What the layers but the last make of images: ``[b, h, w, k]``."""
        return self._pass(body, images, slice(None, -1))

    def upper(self, parameters: Parameters, z: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]`` of what ``lower`` gave."""
        return self._head(parameters, self._pass(parameters["body"], z, slice(-1, None)))

    def _pass(self, body: Parameters, x: Array, blocks: slice) -> Array:
        variables = {"params": body, "batch_stats": self.statistics}
        result = self.body.apply(variables, x, blocks)
        assert isinstance(result, Array)
        return result

    def _head(self, parameters: Parameters, features: Array) -> tuple[Array, Array]:
        head, flat = parameters["head"], features.reshape(features.shape[0], -1)
        return flat @ head["kernel"] + head["bias"], flat


def build_network(
    architecture: str,
    *,
    image_shape: tuple[int, int, int],
    classes: int,
    width: int,
    depth: int,
    activation: str = "relu",
    normalization: str = "none",
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
    if normalization not in NORMALIZATIONS:
        raise ConfigError(f"unknown norm {normalization!r}; there is: {', '.join(NORMALIZATIONS)}")
    return Network(ConvNet(depth, width, activation, normalization), classes, image_shape)
