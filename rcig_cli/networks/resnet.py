"""ResNet-18 in its form for small images (He et al., 2016, section 4.2 and table 1).

A 3x3 convolution without a pool, four stages of two basic blocks, the later three at half the size of the
one before, and the mean over all pixels:

    block(x) = relu( norm(conv(relu(norm(conv(x))))) + shortcut(x) )

The shortcut is the identity, or a 1x1 convolution with a norm where channels or size change.  A convolution
has a bias where no norm follows it.  A stage keeps the size of its input where half of it would be less than
2x2 pixels, which instance norm would turn into a constant.
"""

import flax.linen as nn
from jax import Array

from rcig_cli.networks.layers import ACTIVATIONS, Convolution, grey_padding
from rcig_cli.networks.network import Body
from rcig_cli.networks.norms import Statistics, norm_layer

STAGES, BLOCKS = 4, 2


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut around them.

    Attributes
    ----------
    features
        Channels of the output.
    stride
        2 to halve the size.
    activation, norm, statistics
        See `network.Body`.
    """

    features: int
    stride: int
    activation: str
    norm: str
    statistics: Statistics

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map ``[b, H, W, c]`` to ``[b, H / stride, W / stride, features]``, rounded up."""
        activation = ACTIVATIONS[self.activation].value

        def convolved(a: Array, side: int, stride: int) -> Array:
            bias = self.norm == "none"
            a = Convolution(self.features, side // 2, bias, side=side, stride=stride)(a)
            return norm_layer(self.norm, self.statistics)(a)

        a = convolved(activation(convolved(x, 3, self.stride)), 3, 1)
        changes = self.stride > 1 or x.shape[-1] != self.features
        return activation(a + (convolved(x, 1, self.stride) if changes else x))


class ResNet18(Body, kw_only=True):
    """ResNet-18.

    Attributes
    ----------
    published
        Whether to use the form with which the published accuracies of "ResNet" were measured: a norm after
        the first convolution only, and the last map flattened rather than averaged.
    """

    published: bool = False

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels after each stage."""
        return tuple(self.width * 2**stage for stage in range(STAGES))

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Map images ``[b, H, W, c]`` to features ``[b, k]``, or ``[b, h, w, k]`` in the published form."""
        x = Convolution(self.width, 1 + grey_padding(x), bias=self.norm == "none")(x)
        x = norm_layer(self.norm, self.statistics)(x)
        x = ACTIVATIONS[self.activation].value(x)
        norm = "none" if self.published else self.norm
        for stage, features in enumerate(self.channels):
            stride = 2 if stage > 0 and min(x.shape[1:3]) > 2 else 1
            for block in range(BLOCKS):
                x = BasicBlock(
                    features,
                    stride if block == 0 else 1,
                    *(self.activation, norm, self.statistics),
                    name=f"stage_{stage}_block_{block}",
                )(x)
        return x if self.published else x.mean((1, 2))
