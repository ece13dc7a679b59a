"""The configuration of a distillation of a prepared data set, and the networks that fit the data set."""

from collections.abc import Mapping
from typing import Any

from rcig_cli.networks.architectures import build_network
from rcig_cli.networks.network import Network
from rcig_cli.presets.config import (
    DistillConfig,
    declared_settings,
    resolve,
    with_possible_batch,
    with_references,
)
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
    return max(prepared.sizes["train"], _FEW_PER_CLASS * prepared.classes)


def normalized(prepared: Prepared, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings in the form in which a configuration has them: ``classes``, ``ipc``, and extensions.

    Raises
    ------
    ConfigError
        If they name an unknown class or have values that are not allowed.
    """
    given = {name: settings[name] for name in ("classes", "ipc") if name in settings}
    check(declared_settings(), given)
    distilled = prepared.of_classes(given.get("classes"))
    if "classes" in given:
        given["classes"] = distilled.only
    if "ipc" in given:
        given["ipc"] = counts_per_class(given["ipc"], distilled.class_names)
    return {**with_references(settings), **given}


def resolved(prepared: Prepared, settings: Mapping[str, Any]) -> DistillConfig:
    """Resolve every setting of a distillation of a data set, or of those of its classes that are given.

    Its batch is one that the data set allows (`rcig_cli.presets.config.with_possible_batch`).

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed.
    """
    settings = normalized(prepared, settings)
    distilled = prepared.of_classes(settings.get("classes"))
    config = resolve(prepared.name, prepared.shape, distilled.classes, settings)
    return with_possible_batch(config, distilled.sizes["train"], distilled.classes)
