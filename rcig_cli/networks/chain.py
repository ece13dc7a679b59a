"""Networks that are a chain of blocks: the ConvNet, VGG-11 and AlexNet.

A block is a convolution with bias, a norm (or none), an activation and, at some places, a 2x2 pool; the
features are the flattened last map.

A pool is left out where the map is too small for it, so that no convolution sees less than 2x2 pixels, which
instance norm would turn into a constant.  VGG-11, whose five pools need 32 px, can therefore be used at 8 px.
"""

from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
from jax import Array

from rcig_cli.networks.layers import Block, grey_padding
from rcig_cli.networks.network import Body, Network, Parameters


class Layer(NamedTuple):
    """A block of a chain.

    Attributes
    ----------
    channels
        Of its output, at the published width.
    pool
        Over 2x2 windows: ``"average"``, ``"max"`` or ``"none"``.
    side
        Of its kernel, in pixels.
    """

    channels: int
    pool: str = "none"
    side: int = 3


Layers = tuple[Layer, ...]


def convnet(depth: int, *, doubling: bool = True) -> Layers:
    """The ConvNet of the data set distillation literature.

    Each block has twice the channels of the block before it (as FRePo and RCIG have it; paper, S3, "Models"),
    or as many (as DC, DM and MTT have it).
    """
    return tuple(Layer(128 * 2**block if doubling else 128, "average") for block in range(depth))


# The form for small images, with one dense layer (Simonyan and Zisserman, 2015, configuration A).
VGG11: Layers = (
    *(Layer(64, "max"), Layer(128, "max")),
    *(Layer(256), Layer(256, "max")),
    *(Layer(512), Layer(512, "max")),
    *(Layer(512), Layer(512, "max")),
)
# The form with which the published accuracies of "VGG" were measured: equal channels, average pools.
VGG11_PUBLISHED: Layers = tuple(Layer(128, "average" if layer.pool == "max" else "none") for layer in VGG11)

# The form for small images (Krizhevsky et al., 2012, has it for large ones).
ALEXNET: Layers = (
    *(Layer(128, "average", side=5), Layer(192, "average", side=5)),
    *(Layer(256), Layer(192), Layer(192, "average")),
)


class Chain(Body, kw_only=True):
    """A chain of blocks.

    Attributes
    ----------
    layers
        Its layers, from the input on.
    """

    layers: Layers

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each layer: the published ones in proportion to the width, rounded down."""
        return tuple(layer.channels * self.width // self.layers[0].channels for layer in self.layers)

    @nn.compact
    def __call__(self, x: Array, blocks: slice = slice(None)) -> Array:
        """Map images ``[b, H, W, c]`` to the last map ``[b, h, w, k]``.

        With ``blocks``, only these blocks are applied, and ``x`` is the output of the block before them.
        """
        for block in range(len(self.layers))[blocks]:
            layer = self.layers[block]
            padding = layer.side // 2 + (grey_padding(x) if block == 0 else 0)
            side = min(x.shape[1:3]) + 2 * padding + 1 - layer.side
            least = 2 if block == len(self.layers) - 1 else 4  # leaves 2x2 pixels to the next convolution
            x = Block(
                self.channels[block],
                padding,
                *(self.activation, self.norm, self.statistics),
                pool=layer.pool if side >= least else "none",
                side=layer.side,
                name=f"block_{block}",
            )(x)
        return x


@dataclass(frozen=True)
class ChainNetwork(Network):
    """A network that can be split before its last block, so that it can be linearized in stages."""

    body: Chain

    @property
    def lower_layers(self) -> tuple[str, ...]:
        """Keys, in the body's parameters, of all layers but the last, from the input on."""
        return tuple(f"block_{i}" for i in range(len(self.body.layers) - 1))

    def lower(self, body: Parameters, images: Array) -> Array:
        """Output of all layers but the last: ``[b, h, w, k]``."""
        return self._pass(body, images, slice(None, -1))

    def upper(self, parameters: Parameters, z: Array) -> tuple[Array, Array]:
        """Logits ``[b, C]`` and features ``[b, d]`` from the output of ``lower``."""
        return self._head(parameters, self._pass(parameters["body"], z, slice(-1, None)))
