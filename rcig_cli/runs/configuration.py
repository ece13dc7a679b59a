"""The configuration of a distillation of a prepared data set, and the networks that fit the data set."""

from collections.abc import Mapping
from typing import Any

from rcig_cli.networks.architectures import build_network
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import DistillConfig, resolve
from rcig_cli.runs.prepare.prepared import Prepared


def network_for(config: DistillConfig, shape: tuple[int, int, int], classes: int) -> Network:
    """Build the network of a configuration for images of a shape ``(H, W, c)``.

    Raises
    ------
    ConfigError
        If the images are too small for it.
    """
    return build_network(
        "convnet",
        image_shape=shape,
        classes=classes,
        width=config.width,
        depth=config.depth,
        activation=config.activation,
        norm=config.norm,
    )


def resolved(prepared: Prepared, settings: Mapping[str, Any]) -> DistillConfig:
    """Resolve every setting of a distillation of a data set; a batch is at most all its training images.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed.
    """
    manifest = prepared.manifest
    config = resolve(manifest.name, manifest.shape, prepared.classes, settings)
    return config.override({"batch": min(config.batch, manifest.sizes["train"])})
