"""The networks there are, by name."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from rcig_cli.errors import ConfigError
from rcig_cli.networks.chain import ALEXNET, VGG11, VGG11_PUBLISHED, Chain, ChainNetwork, convnet
from rcig_cli.networks.network import Body, Network
from rcig_cli.networks.norms import GROUPS, NORMALIZATIONS
from rcig_cli.networks.resnet import ResNet18


class Architecture(NamedTuple):
    """An architecture, and what it is where nothing else is asked for.

    Attributes
    ----------
    body
        What builds its body.
    normalization
        Its norm; it takes all of `NORMALIZATIONS`.
    width
        Channels of its first layer; the others are in proportion.
    depth
        Its blocks, or None where their number is fixed.
    """

    body: Callable[..., Body]
    normalization: str
    width: int
    depth: int | None = None


def _convnet(depth: int, **settings: Any) -> Body:
    return Chain(layers=convnet(depth), **settings)


# The published two are what the paper's Table 3 calls ResNet and VGG; its RCIG is judged without a norm (DN).
ARCHITECTURES = {
    "convnet": Architecture(_convnet, "none", width=128, depth=3),
    "resnet18": Architecture(ResNet18, "instance", width=64),
    "vgg11": Architecture(partial(Chain, layers=VGG11), "batch", width=64),
    "alexnet": Architecture(partial(Chain, layers=ALEXNET), "none", width=128),
    "resnet18-published": Architecture(partial(ResNet18, published=True), "none", width=64),
    "vgg11-published": Architecture(partial(Chain, layers=VGG11_PUBLISHED), "batch", width=128),
}


def architecture_of(name: str) -> Architecture:
    """Return the architecture of a name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"architecture must be one of {', '.join(ARCHITECTURES)}, not {name!r}.")
    return ARCHITECTURES[name]


def build_network(
    architecture: str,
    *,
    image_shape: tuple[int, int, int],
    classes: int,
    width: int | None = None,
    depth: int | None = None,
    activation: str = "relu",
    normalization: str | None = None,
) -> Network:
    """Build a network by its name.

    Parameters
    ----------
    architecture
        One of `ARCHITECTURES`.
    image_shape
        ``(H, W, c)``.
    classes
        Number of logits, C.
    width, depth, normalization
        None for the architecture's own; only the ConvNet's depth can be chosen.
    activation
        ``"relu"``, or ``"softplus"`` while distilling.

    Raises
    ------
    ConfigError
        If there is no such architecture, norm or depth, if the images are too small for the depth, or the
        width is none that the norm can be taken of.
    """
    form = architecture_of(architecture)
    normalization = form.normalization if normalization is None else normalization
    if normalization not in NORMALIZATIONS:
        raise ConfigError(f"norm must be one of {', '.join(NORMALIZATIONS)}, not {normalization!r}.")
    settings = {
        "width": form.width if width is None else width,
        "activation": activation,
        "normalization": normalization,
        **_depth(architecture, depth, image_shape),
    }
    body = form.body(**settings)
    if normalization == "group" and any(channels % GROUPS for channels in body.channels):
        raise ConfigError(
            f"group norm cuts the channels into {GROUPS} groups, which --width {body.width} doesn't allow; "
            f"use a multiple of {2 * GROUPS}."
        )
    if isinstance(body, Chain):
        return ChainNetwork(body, classes, image_shape)
    return Network(body, classes, image_shape)


def _depth(architecture: str, depth: int | None, image_shape: tuple[int, int, int]) -> dict[str, int]:
    """Return the depth as a setting, where it is one."""
    own = ARCHITECTURES[architecture].depth
    if own is None and depth is None:
        return {}
    if own is None:
        raise ConfigError(f"the depth of {architecture} is fixed; only that of convnet can be chosen.")
    depth = own if depth is None else depth
    padded = min(image_shape[:2]) + (4 if image_shape[2] == 1 else 0)
    if padded >> depth < 1:
        raise ConfigError(
            f"images of {image_shape[0]} px are too small for a ConvNet of depth {depth}; use --depth "
            f"{padded.bit_length() - 1} or less."
        )
    return {"depth": depth}
