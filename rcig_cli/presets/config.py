"""The complete configuration of a distillation, and how it follows from the settings that a user gives.

A run's manifest records it, and runs are compared by it.
"""

import difflib
import math
from collections.abc import Mapping
from typing import Any, Self

import pydantic

from rcig_cli.distillation.methods import METHODS, Method
from rcig_cli.distillation.settings import MethodSettings
from rcig_cli.errors import ConfigError, shorten
from rcig_cli.presets.paper import presets
from rcig_cli.presets.short_runs import short_run_defaults
from rcig_cli.settings import Setting, check, check_names, make, record, setting, settings_of, values_of

DEFAULT_ALGORITHM = "rcig"

_NETWORK = "Network"

# Names of the operations of `rcig_cli.augmentation`, which imports JAX; those that only colour images allow.
AUGMENTATIONS = ("flip", "colour", "crop", "rotate", "translate", "cutout")
ONLY_FOR_COLOUR = ("flip", "colour")
NO_AUGMENTATION = "none"

STARTS = ("random", "k-center", "class-mean")

# "We use this whenever |S| <= 1000" (paper, S3); only for RGB images.
LARGEST_FLIPPED = 1000

# Outer steps for a data set without presets, by images per class: the paper's for small data sets.
STEPS = {1: 15_000, 10: 10_000, 50: 5_000}


@record
class DistillConfig:
    """Settings of a distillation; ``method`` has those that only its algorithm has."""

    dataset: str = setting(..., "Name of a prepared data set.")
    ipc: int | tuple[int, ...] = setting(
        ...,
        "Distilled images per class; CLASS=N for a class with another number.",
        per_class=True,
        ge=1,
    )
    algorithm: str = setting(DEFAULT_ALGORITHM, "Method of distillation.", choices=METHODS)
    steps: int = setting(..., "Outer steps.", ge=1)
    batch: int = setting(1024, "Real images per outer step.", ge=1)
    seed: int = setting(0, "Random seed. Default: 0.", ge=0, le=2**32 - 1)
    width: int = setting(128, "Channels of the network's first block.", ge=1)
    depth: int = setting(3, "Blocks of the network.", ge=1)
    norm: str = setting("none", "Normalization of the network while distilling.", choices=("none", "batch"))
    activation: str = setting(
        "softplus",
        "Activation of the network while distilling.",
        panel=_NETWORK,
        choices=("softplus", "relu"),
    )
    start: str = setting(
        "random",
        "First distilled images: random real images of each class; k-center: the most central one, and then "
        "always the one furthest from those chosen; class-mean: the class's mean, or k-means centres.",
        choices=STARTS,
    )
    distill_augment: str = setting(
        NO_AUGMENTATION,
        "Augment each real image of a step by one operation at random, of a list such as crop,rotate: "
        f"{', '.join(AUGMENTATIONS)}. For data sets of few images. Default: none.",
    )
    method: MethodSettings

    @pydantic.model_validator(mode="after")
    def _check_augmentations(self) -> Self:
        unknown = [name for name in self.augmentations if name not in AUGMENTATIONS]
        if unknown:
            near = difflib.get_close_matches(unknown[0], AUGMENTATIONS, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(
                f"distill_augment must be none, or a list of {', '.join(AUGMENTATIONS)} with commas, "
                f"not {shorten(self.distill_augment)}{hint}"
            )
        return self

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The names of the operations of ``distill_augment``."""
        if self.distill_augment == NO_AUGMENTATION:
            return ()
        return tuple(name.strip() for name in self.distill_augment.split(","))

    def images_per_class(self, classes: int) -> tuple[int, ...]:
        """Return the number of distilled images of each class."""
        return self.ipc if isinstance(self.ipc, tuple) else (self.ipc,) * classes

    @property
    def algorithm_record(self) -> Method:
        """The method that ``algorithm`` names."""
        return METHODS[self.algorithm]

    def to_json(self) -> dict[str, Any]:
        """Return all settings by name, as JSON values."""
        return {**values_of(self), **values_of(self.method)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Make a configuration from settings by name; those of the method may be left out.

        Raises
        ------
        ConfigError
            If a setting is unknown (the nearest is named), missing, or has a value that is not allowed.
        """
        general = settings_of(cls)
        check_names(values, declared_settings())
        algorithm = values.get("algorithm", DEFAULT_ALGORITHM)
        check(general, {"algorithm": algorithm})
        record = METHODS[algorithm].settings
        own = {name: value for name, value in values.items() if name not in general}
        method = make(record, own, where=f" of {algorithm}")
        chosen = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in general
        }
        return make(cls, {**chosen, "method": method})

    def override(self, changes: Mapping[str, Any]) -> Self:
        """Return the configuration with some settings changed.

        With another algorithm, settings that it does not have are dropped.

        Raises
        ------
        ConfigError
            As `from_json`.
        """
        kept = self.to_json()
        if changes.get("algorithm", self.algorithm) in METHODS:
            known = settings_for(changes.get("algorithm", self.algorithm))
            kept = {name: value for name, value in kept.items() if name in known}
        return self.from_json({**kept, **changes})


def settings_for(algorithm: str) -> dict[str, Setting]:
    """Return the settings that a distillation by one algorithm has, by name."""
    return {**settings_of(DistillConfig), **METHODS[algorithm].declared}


def declared_settings() -> dict[str, Setting]:
    """Return every setting of a distillation by name: the general ones, then those of all methods."""
    found = settings_of(DistillConfig)
    for method in METHODS.values():
        found.update({name: each for name, each in method.declared.items() if name not in found})
    return found


def difference(given: DistillConfig, other: DistillConfig) -> list[str]:
    """Return the settings in which two configurations differ, as ``"width: 32, not 128"`` (given, other)."""
    a, b = given.to_json(), other.to_json()
    return [f"{name}: {a.get(name)}, not {b.get(name)}" for name in {**a, **b} if a.get(name) != b.get(name)]


def resolve(
    dataset: str, shape: tuple[int, int, int], classes: int, flags: Mapping[str, Any]
) -> DistillConfig:
    """Resolve every setting of a distillation.

    Settings come from, in this order: what the user gave; the data set's preset for this many images per
    class (their mean, if classes differ), or for the nearest number below; if there are far fewer steps than
    the preset has, the defaults of short runs; the method's defaults for this many images; what follows from
    the images' shape; the records' defaults, which are the paper's.

    Parameters
    ----------
    dataset
        Name of a prepared data set.
    shape
        ``(H, W, c)`` of its images.
    classes
        Number of its classes.
    flags
        Settings given by the user, by name; ``ipc`` among them, a number or one for each class.

    Raises
    ------
    ConfigError
        If a setting is unknown or can't have its value.
    """
    check(declared_settings(), flags)
    ipc, algorithm = flags["ipc"], flags.get("algorithm", DEFAULT_ALGORITHM)
    images = ipc * classes if isinstance(ipc, int) else sum(ipc)
    mean = images // classes
    known, allowed = presets(dataset), settings_for(algorithm)
    preset = known[_nearest(known, mean)].settings if known else {}
    depth = flags.get("depth", preset.get("depth", _depth(shape[0])))
    usual_steps = preset.get("steps", STEPS[_nearest(STEPS, mean)])
    chosen = {
        "steps": usual_steps,
        "depth": depth,
        "activation": "softplus" if depth <= 3 else "relu",
        "l2_rate": 0.05 if depth >= 5 else 5e-4,
        "flip": shape[2] == 3 and images <= LARGEST_FLIPPED,
        **METHODS[algorithm].defaults(images, flags),
        **short_run_defaults(algorithm, flags.get("steps", usual_steps), usual_steps, preset),
        **preset,
    }
    if "pool_size" in allowed and "pool_size" not in flags:
        models = flags.get("models", allowed["models"].default)
        # The default, rounded up to a multiple of the models per step.
        chosen["pool_size"] = math.ceil(allowed["pool_size"].default / models) * models
    usable = {name: value for name, value in chosen.items() if name in allowed}
    config = DistillConfig.from_json({"dataset": dataset, **usable, **flags})
    if shape[2] == 1 and (refused := [name for name in config.augmentations if name in ONLY_FOR_COLOUR]):
        raise ConfigError(
            f"{dataset} has grey images, which can't be augmented by {' and '.join(refused)}; "
            f"use some of {', '.join(name for name in AUGMENTATIONS if name not in ONLY_FOR_COLOUR)}."
        )
    return config


def _depth(side: int) -> int:
    """Return the depth for a side in pixels: 2 up to 16, 3 up to 32, 4 up to 64, 5 up to 128."""
    return max(2, math.ceil(math.log2(side / 4)))


def _nearest(table: Mapping[int, Any], ipc: int) -> int:
    """Return the largest key not above ``ipc``, or else the smallest key."""
    return max((key for key in table if key <= ipc), default=min(table))
