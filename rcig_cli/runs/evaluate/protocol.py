"""The settings by which a distilled set is evaluated, with the defaults of named protocols.  Needs no JAX.

``rcig``
    The RCIG paper's (S3): mean squared error to the learned labels, Adam at 1e-4 with warm-up and cosine
    decay, 1000 steps for ten images and 2000 for any other number; the networks have no norm.
``dc-bench``
    That of DC-BENCH (Cui et al., NeurIPS 2022), which DC, DSA and DM use too: cross-entropy with the largest
    class, gradient descent at 0.01 (a tenth in the second half) with momentum 0.9 and weight decay 5e-4,
    batches of 256, 300 epochs, or 1000 with augmentation (that of DSA); ConvNets with instance norm and as
    many channels in each block.

The accuracy is that after the last step.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

import pydantic

from rcig_cli.errors import ConfigError, shorten
from rcig_cli.extensions import METAVAR, is_reference, provenance, reference_to
from rcig_cli.networks.architectures import ARCHITECTURES, Channels, Norm
from rcig_cli.presets.config import (
    AUGMENTATIONS,
    DistillConfig,
    check_operations,
    listed_operations,
    operation_references,
)
from rcig_cli.settings import check, make, record, setting, settings_of, values_of

FULL_EPOCHS = 20  # passes over all real images, where networks are trained on these

RCIG, DC_BENCH = "rcig", "dc-bench"

# "We train neural networks for 1000 iterations if |S| = 10, otherwise for 2000" (paper, S3).
_STEPS_FOR_TEN, _STEPS = 1000, 2000

_EPOCHS, _EPOCHS_AUGMENTED, _BATCH = 300, 1000, 256  # of DC-BENCH


def _of_rcig(images: int, given: Mapping[str, Any]) -> dict[str, Any]:
    del given
    return {"steps": _STEPS_FOR_TEN if images == 10 else _STEPS, "lr": 1e-4, "warmup": 500}


def _of_dc_bench(images: int, given: Mapping[str, Any]) -> dict[str, Any]:
    epochs = _EPOCHS_AUGMENTED if given.get("augment") else _EPOCHS
    steps = epochs * math.ceil(images / _BATCH)
    fixed = {"flip": False, "hard_labels": True, "warmup": 0}
    usual = given.get("arch", "convnet") == "convnet"
    network = {"norm": "instance", "channels": "equal"} if usual else {}
    return {"steps": steps, "lr": 0.01, **fixed, **network}


# (number of distilled images, settings given) -> default settings of the protocol
PROTOCOLS: Mapping[str, Callable[[int, Mapping[str, Any]], dict[str, Any]]] = {
    RCIG: _of_rcig,
    DC_BENCH: _of_dc_bench,
}


@record
class NetworkProtocol:
    """The settings that evaluation and membership inference share: the networks and their training.

    Norm, width and depth are None where a network of the user's own has its own.
    """

    arch: str = setting(
        "convnet", "Architecture of the networks.", choices=ARCHITECTURES, extension="architecture"
    )
    norm: Norm | None = setting(
        ..., "Normalization of the networks. Default: the usual one of the architecture."
    )
    width: int | None = setting(
        ...,
        "Channels of the first block. Default: the run's, if the architecture is the run's.",
        ge=1,
    )
    depth: int | None = setting(None, "Blocks of a ConvNet. Default: the run's.", ge=1)
    channels: Channels = setting(
        ..., "Channels of a ConvNet's blocks: doubling from block to block, or equal. Default: the run's."
    )
    networks: int = setting(5, "Networks to train, each from its own initialization.", ge=1)
    lr: float = setting(1e-4, "Learning rate of Adam.", gt=0)
    flip: bool = setting(..., "Also train on mirrored images. Default: as in distillation.")
    seed: int = setting(0, "Random seed.", ge=0, lt=2**32)

    @property
    def extensions(self) -> dict[str, dict[str, str]]:
        """What it uses of the user's own: the `provenance` of each by its reference."""
        return {self.arch: provenance(self.arch)} if is_reference(self.arch) else {}


@record
class EvaluationProtocol(NetworkProtocol):
    """How a distilled set is evaluated: the networks that are trained on it, and their training."""

    protocol: str = setting(
        RCIG,
        "Protocol from which the other settings follow: rcig (the paper's), or dc-bench (SGD on "
        "cross-entropy, a ConvNet with instance norm and equal channels).",
        choices=PROTOCOLS,
    )
    lr: float = setting(..., "Learning rate. Default: 1e-4 (Adam), with dc-bench 0.01 (SGD).", gt=0)
    augment: bool = setting(False, "Train with the protocol's augmentations.")
    augment_with: str | None = setting(
        None,
        "Augment each image of a step by one operation at random, of a list such as crop,rotate: "
        f"{', '.join(AUGMENTATIONS)}, or your own as {METAVAR}. Default: those of the protocol.",
    )
    hard_labels: bool = setting(
        ...,
        "Train on one-hot labels: the largest class of each learned label. Default: with dc-bench only.",
    )
    choose_lr: str | None = setting(
        None,
        "Choose the learning rate from a list such as 1e-4,1e-3,1e-2: the one with which a network that is "
        "trained on the set classifies a tenth of the real training images best. For random subsets it is "
        "chosen in the same way.",
    )
    steps: int = setting(
        ...,
        "Training steps. Default: 1000 for a set of 10 images, 2000 for any other; with dc-bench 300 epochs, "
        "1000 with --augment.",
        ge=1,
    )
    warmup: int = setting(
        ..., "Steps of linear warm-up (Adam), at most half of all steps. Default: 500.", ge=0
    )

    @pydantic.model_validator(mode="after")
    def _check_lists(self) -> Self:
        check_operations(self.operations, "augment_with must be a list", str(self.augment_with))
        if self.choose_lr is not None:
            _parse_rates(self.choose_lr)
        return self

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The learning rates of ``choose_lr``."""
        return () if self.choose_lr is None else _parse_rates(self.choose_lr)

    @property
    def operations(self) -> tuple[str, ...]:
        """The names of the operations of ``augment_with``."""
        return () if self.augment_with is None else listed_operations(self.augment_with)

    @property
    def extensions(self) -> dict[str, dict[str, str]]:
        """What it uses of the user's own: the `provenance` of each by its reference."""
        of_operations = {each: provenance(each) for each in filter(is_reference, self.operations)}
        return {**super().extensions, **of_operations}

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values, the two lists only if they are given."""
        lists = ("augment_with", "choose_lr")
        return {name: value for name, value in values_of(self).items() if name not in lists or value}

    @property
    def by_descent(self) -> bool:
        """Whether networks are trained by gradient descent on cross-entropy, and not by Adam."""
        return self.protocol == DC_BENCH


def evaluation_protocol(config: DistillConfig, images: int, **given: Any) -> EvaluationProtocol:
    """Return a protocol for a distilled set, by default the paper's, with some settings changed.

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
    if isinstance(operations := given.get("augment_with"), str):
        if not given.setdefault("augment", True):
            raise ConfigError("augment_with contradicts --no-augment: leave one of them out.")
        given["augment_with"] = operation_references(operations)
    if {"lr", "choose_lr"} <= given.keys():
        raise ConfigError("lr contradicts choose_lr, which chooses it: leave one of them out.")
    name = given.get("protocol", RCIG)
    check(settings_of(EvaluationProtocol), {"protocol": name})
    defaults = {
        **network_defaults(config, given),
        **{"hard_labels": False, **PROTOCOLS[name](images, given)},
    }
    protocol = make(EvaluationProtocol, {**defaults, **given})
    if protocol.by_descent and not protocol.hard_labels:
        raise ConfigError(f"The protocol {name} trains on hard labels; leave out --no-hard-labels.")
    return replace(protocol, warmup=min(protocol.warmup, protocol.steps // 2))


def _parse_rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(each) for each in text.split(","))
    except ValueError:
        rates = ()
    if len(set(rates)) < 2 or not all(0 < rate < math.inf for rate in rates):
        raise ConfigError(
            f"choose_lr must be two or more positive numbers separated by commas, such as 1e-4,1e-3,1e-2, "
            f"not {shorten(text)}."
        )
    return tuple(dict.fromkeys(rates))


def usual_steps(protocol: EvaluationProtocol, images: int) -> int:
    """Return the number of training steps that a protocol has by default for so many distilled images."""
    steps: int = PROTOCOLS[protocol.protocol](images, {"augment": protocol.augment})["steps"]
    return steps


def network_defaults(config: DistillConfig, given: dict[str, Any]) -> dict[str, Any]:
    """Return the defaults of a `NetworkProtocol` that depend on the run and on the architecture.

    In ``given`` a reference takes the place of the name of an installed architecture.
    """
    arch = given.get("arch", "convnet")
    check(settings_of(NetworkProtocol), {"arch": arch})
    if arch not in ARCHITECTURES:
        given["arch"] = reference_to("architecture", arch)
        own = {"norm": None, "width": None, "depth": None, "channels": "doubling"}
        return {**own, "flip": config.method.flip}
    usual = ARCHITECTURES[arch]
    size = config if arch == "convnet" else usual
    return {
        "norm": usual.norm,
        "width": size.width,
        "depth": size.depth,
        "channels": config.channels if arch == "convnet" else "doubling",
        "flip": config.method.flip,
    }
