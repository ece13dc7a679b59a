"""The configuration of a distillation of a prepared data set, and the networks that fit the data set."""

from collections.abc import Mapping
from typing import Any

from rcig_cli.distillation.settings import GradientSettings
from rcig_cli.networks.architectures import build_network
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import DistillConfig, declared_settings, resolve
from rcig_cli.presets.images_per_class import counts_per_class
from rcig_cli.runs.prepare.prepared import Prepared
from rcig_cli.settings import check

_FEW_PER_CLASS = 100  # images that may be distilled however few training images there are


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
        channels=config.channels,
    )


def most_images(prepared: Prepared) -> int:
    """Return the most images that a distilled set may have: as many as the data set, or 100 per class."""
    return max(prepared.manifest.sizes["train"], _FEW_PER_CLASS * prepared.classes)


def with_counts(prepared: Prepared, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings with ``ipc``, if it is given, in the form in which a configuration has it."""
    if "ipc" not in settings:
        return settings
    check(declared_settings(), {"ipc": settings["ipc"]})
    return {**settings, "ipc": counts_per_class(settings["ipc"], prepared.manifest.class_names)}


def resolved(prepared: Prepared, settings: Mapping[str, Any]) -> DistillConfig:
    """Resolve every setting of a distillation of a data set.

    A batch is at most all its training images.  For a method that takes as many of each class, it is rounded
    down to a multiple of the number of classes, or up to one image of each.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed.
    """
    manifest = prepared.manifest
    settings = with_counts(prepared, settings)
    return with_possible_batch(prepared, resolve(manifest.name, manifest.shape, prepared.classes, settings))


def with_possible_batch(prepared: Prepared, config: DistillConfig) -> DistillConfig:
    """Return a configuration with the batch that `resolved` gives it."""
    batch = min(config.batch, prepared.manifest.sizes["train"])
    if config.algorithm_record.real_per_class:
        assert isinstance(config.method, GradientSettings)
        group = prepared.classes * config.method.models
        batch = max(batch // group, 1) * group
    return config.override({"batch": batch})
