"""The ConvNet of the data set distillation literature (paper, S3, "Models").

Block i is a 3x3 convolution to ``width * 2^i`` channels with bias, a norm (or none), an activation and a 2x2
average pool; the features are the flattened last map.  Grey images get three pixels of padding instead of
one before the first convolution, so that 28 pixels become 32.
"""

import flax.linen as nn
from jax import Array

from rcig_cli.networks.layers import RUNNING, Block, Statistics


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
    normalization, statistics
        See `layers.Block`.
    """

    depth: int = 3
    width: int = 128
    activation: str = "relu"
    normalization: str = "none"
    statistics: Statistics = RUNNING

    @nn.compact
    def __call__(self, x: Array, blocks: slice = slice(None)) -> Array:
        """Map images ``[b, H, W, c]`` to the last map ``[b, h, w, k]``.

        With ``blocks``, only these are passed, and ``x`` is what the one before them gave.
        """
        for block in range(self.depth)[blocks]:
            padding = 3 if x.shape[-1] == 1 and block == 0 else 1
            how = self.activation, self.normalization, self.statistics
            x = Block(self.width * 2**block, padding, *how, name=f"block_{block}")(x)
        return x
