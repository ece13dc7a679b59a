"""The ConvNet of the data set distillation literature (paper, S3, "Models").

Block i is a 3x3 convolution to ``width * 2^i`` channels with bias, an activation and a 2x2 average pool;
the features are the flattened last map.  Grey images get three pixels of padding instead of one before the
first convolution, so that 28 pixels become 32.
"""

import flax.linen as nn
from jax import Array

from rcig_cli.networks.layers import ACTIVATIONS, FirstConvolution, activated_pool


class ConvNet(nn.Module):
    """The body of the ConvNet.

    Attributes
    ----------
    depth
        Number of blocks: 3 for 28 and 32 px, 4 for 64 px, 5 for 128 px, 2 for 8 px.
    width
        Channels after the first block; each later block doubles them.
    activation
        ``"relu"``, or ``"softplus"`` while distilling at depth 3 or less.
    """

    depth: int = 3
    width: int = 128
    activation: str = "relu"

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Map images ``[b, H, W, c]`` to features ``[b, d]``."""
        activation = ACTIVATIONS[self.activation]
        padding = 3 if images.shape[-1] == 1 else 1
        a = FirstConvolution(self.width, padding, name="block_0")(images)
        x = activated_pool(activation, a)
        for block in range(1, self.depth):
            a = nn.Conv(self.width * 2**block, (3, 3), padding=1, name=f"block_{block}")(x)
            x = activated_pool(activation, a)
        return x.reshape(x.shape[0], -1)
