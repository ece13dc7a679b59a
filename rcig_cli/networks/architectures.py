"""The available architectures and norms by name, and how a network is built from them, or by the user's own.

The tables can be imported without JAX, so that the command line can check names before it loads anything.
"""

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from rcig_cli.errors import ConfigError
from rcig_cli.extensions import is_extension

if TYPE_CHECKING:
    from rcig_cli.networks.network import Body, Network

ArchitectureName = Literal["convnet", "resnet18", "vgg11", "alexnet", "resnet18-published", "vgg11-published"]
Norm = Literal["none", "batch", "instance", "layer", "group"]
NORMS: tuple[Norm, ...] = get_args(Norm)
Channels = Literal["doubling", "equal"]


class Architecture(NamedTuple):
    """The settings that an architecture has by default.

    Attributes
    ----------
    norm
        Its usual norm; every architecture can be built with each of `NORMS`.
    width
        Channels of its first layer; the other layers are in proportion.
    depth
        Number of blocks, or None where it is fixed.
    """

    norm: Norm
    width: int
    depth: int | None = None


# The two published forms are what the paper's Table 3 calls ResNet and VGG.  RCIG is evaluated there without
# a norm ("DN").
ARCHITECTURES: dict[ArchitectureName, Architecture] = {
    "convnet": Architecture("none", width=128, depth=3),
    "resnet18": Architecture("instance", width=64),
    "vgg11": Architecture("batch", width=64),
    "alexnet": Architecture("none", width=128),
    "resnet18-published": Architecture("none", width=64),
    "vgg11-published": Architecture("batch", width=128),
}


def build_network(
    architecture: str,
    *,
    image_shape: tuple[int, int, int],
    classes: int,
    width: int | None = None,
    depth: int | None = None,
    activation: str = "relu",
    norm: str | None = None,
    channels: Channels = "doubling",
) -> "Network":
    """Build a network by its name.

    Parameters
    ----------
    architecture
        One of `ARCHITECTURES`, or a reference to the user's own (`rcig_cli.networks.own`).
    image_shape
        ``(H, W, c)``.
    classes
        Number of logits, C.
    width, depth, norm
        None for the architecture's default; only the depth of the ConvNet can be chosen.  A function of the
        user's own gets those that are given.
    activation
        ``"relu"``, or ``"softplus"`` for distillation.
    channels
        Of the blocks of the ConvNet: each has twice those of the block before it, or as many.

    Raises
    ------
    ConfigError
        If there is no such architecture, norm or depth, if its channels are fixed, if the images are too
        small for the depth, or if the norm can't be computed at this width.
    """
    from rcig_cli.networks.chain import Chain, ChainNetwork
    from rcig_cli.networks.network import Network
    from rcig_cli.networks.norms import GROUPS

    if architecture not in ARCHITECTURES and is_extension("architecture", architecture):
        from rcig_cli.networks.own import own_network

        if channels != "doubling":
            raise ConfigError(f"The channels of {architecture} can't be chosen; leave out --channels.")
        options = {"width": width, "depth": depth, "norm": norm}
        given = {name: value for name, value in options.items() if value is not None}
        return own_network(architecture, image_shape, classes, given)
    if architecture not in ARCHITECTURES:
        raise ConfigError(f"arch must be one of {', '.join(ARCHITECTURES)}, not {architecture!r}.")
    default = ARCHITECTURES[architecture]
    if channels != "doubling" and default.depth is None:
        raise ConfigError(f"The channels of {architecture} are fixed; only those of convnet can be equal.")
    norm = default.norm if norm is None else norm
    if norm not in NORMS:
        raise ConfigError(f"norm must be one of {', '.join(NORMS)}, not {norm!r}.")
    body = _body(
        architecture,
        _depth(architecture, depth, image_shape),
        channels,
        width=default.width if width is None else width,
        activation=activation,
        norm=norm,
    )
    if norm == "group" and any(channels % GROUPS for channels in body.channels):
        raise ConfigError(
            f"Group norm divides the channels into {GROUPS} groups, which is not possible with --width "
            f"{body.width}; use a multiple of {2 * GROUPS}."
        )
    if isinstance(body, Chain):
        return ChainNetwork(body, classes, image_shape)
    return Network(body, classes, image_shape)


def _body(name: str, depth: int | None, channels: Channels, **settings: Any) -> "Body":
    from rcig_cli.networks.chain import ALEXNET, VGG11, VGG11_PUBLISHED, Chain, convnet
    from rcig_cli.networks.resnet import ResNet18

    if name.startswith("resnet18"):
        return ResNet18(published=name == "resnet18-published", **settings)
    if depth is not None:
        return Chain(layers=convnet(depth, doubling=channels == "doubling"), **settings)
    layers = {"vgg11": VGG11, "vgg11-published": VGG11_PUBLISHED, "alexnet": ALEXNET}[name]
    return Chain(layers=layers, **settings)


def _depth(
    architecture: ArchitectureName, depth: int | None, image_shape: tuple[int, int, int]
) -> int | None:
    """Return the number of blocks, or None where it is fixed."""
    default = ARCHITECTURES[architecture].depth
    if default is None:
        if depth is not None:
            raise ConfigError(f"The depth of {architecture} is fixed; only that of convnet can be chosen.")
        return None
    depth = default if depth is None else depth
    padded = min(image_shape[:2]) + (4 if image_shape[2] == 1 else 0)
    if padded >> depth < 1:
        raise ConfigError(
            f"Images of {image_shape[0]} px are too small for a ConvNet of depth {depth}; use --depth "
            f"{padded.bit_length() - 1} or less."
        )
    return depth
