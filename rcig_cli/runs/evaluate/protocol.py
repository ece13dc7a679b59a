"""The settings by which a distilled set is evaluated, with the paper's defaults.  Needs no JAX."""

from dataclasses import replace
from typing import Any

from rcig_cli.networks.architectures import ARCHITECTURES, ArchitectureName, Norm
from rcig_cli.presets.config import DistillConfig
from rcig_cli.settings import check, make, record, setting, settings_of

# "We train neural networks for 1000 iterations if |S| = 10, otherwise for 2000" (paper, S3).
_STEPS_FOR_TEN, _STEPS = 1000, 2000


@record
class NetworkProtocol:
    """The settings that evaluation and membership inference share: the networks and their training."""

    arch: ArchitectureName = setting("convnet", "Architecture of the networks.")
    norm: Norm = setting(..., "Normalization of the networks. Default: the usual one of the architecture.")
    width: int = setting(
        ...,
        "Channels of the first block. Default: the run's, if the architecture is the run's.",
        ge=1,
    )
    depth: int | None = setting(None, "Blocks of a ConvNet. Default: the run's.", ge=1)
    networks: int = setting(5, "Networks to train, each from its own initialization.", ge=1)
    lr: float = setting(1e-4, "Learning rate of Adam.", gt=0)
    flip: bool = setting(..., "Also train on mirrored images. Default: as in distillation.")
    seed: int = setting(0, "Random seed.", ge=0, lt=2**32)


@record
class EvaluationProtocol(NetworkProtocol):
    """How a distilled set is evaluated: the networks that are trained on it, and their training."""

    augment: bool = setting(False, "Train with the paper's augmentations.")
    hard_labels: bool = setting(False, "Train on one-hot labels: the largest class of each learned label.")
    steps: int = setting(
        ..., "Training steps. Default: 1000 for a set of 10 images, 2000 for any other.", ge=1
    )
    warmup: int = setting(500, "Steps of linear warm-up, at most half of all steps.", ge=0)


def evaluation_protocol(config: DistillConfig, images: int, **given: Any) -> EvaluationProtocol:
    """Return the paper's protocol for a distilled set, with some settings changed.

    Parameters
    ----------
    config
        How the set is distilled.
    images
        Number of distilled images.
    **given
        Settings of `EvaluationProtocol` by name; None means the default.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed.
    """
    given = {name: value for name, value in given.items() if value is not None}
    steps = _STEPS_FOR_TEN if images == 10 else _STEPS
    protocol = make(EvaluationProtocol, {"steps": steps, **network_defaults(config, given), **given})
    return replace(protocol, warmup=min(protocol.warmup, protocol.steps // 2))


def network_defaults(config: DistillConfig, given: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults of a `NetworkProtocol` that depend on the run and on the architecture."""
    arch: ArchitectureName = given.get("arch", "convnet")
    check(settings_of(NetworkProtocol), {"arch": arch})
    usual = ARCHITECTURES[arch]
    size = config if arch == "convnet" else usual
    return {
        "norm": usual.norm,
        "width": size.width,
        "depth": size.depth,
        "flip": config.method.flip,
    }
