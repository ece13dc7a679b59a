"""What a preset is, and how a data set, a number of images per class and some flags become a configuration.

Settings come from, in this order: what the user gave; the data set's preset for this many images per class,
or for the nearest number below; the method's defaults for this many images; what follows from the images'
shape; the records' defaults, which are the paper's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from rcig_cli.distillation.methods import METHODS
from rcig_cli.presets.config import DEFAULT_ALGORITHM, DistillConfig, declared_settings, settings_for
from rcig_cli.settings import check

NAMES = (
    *("digits", "mnist", "fashion_mnist", "cifar10", "cifar100"),
    *("tiny_imagenet", "cub200", "imagenette", "imagewoof", "imagenet64"),
)

# The method whose accuracies the presets quote from the paper.
PAPER_METHOD = "rcig"

# Another name that a data set may be prepared under.
_ALSO = {"caltech_birds2011": "cub200"}

# "We use this whenever |S| <= 1000" (paper, S3); only for RGB images.
LARGEST_FLIPPED = 1000

# Where a data set has no preset of its own: the paper's outer steps for small data sets.
STEPS = {1: 15_000, 10: 10_000, 50: 5_000}


@dataclass(frozen=True)
class PaperResult:
    """An accuracy the paper reports, as shares of 1.

    Attributes
    ----------
    mean, std
        Over 15 evaluations.
    where
        The table.
    """

    mean: float
    std: float
    where: str


@dataclass(frozen=True)
class Preset:
    """The paper's settings for one data set and number of images per class.

    Attributes
    ----------
    settings
        What differs from the defaults, by name.
    paper, paper_augmented
        The ConvNet's accuracy in the paper, without and with augmentation in evaluation.
    across
        Accuracies of other cells in the paper, by the norm that was distilled with, the architecture that was
        tested, and its norm; without augmentation.
    memory
        GB that an outer step needs, as XLA counts it (benchmarks/preset_memory.py).
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: PaperResult | None = None
    paper_augmented: PaperResult | None = None
    across: Mapping[tuple[str, str, str], PaperResult] = field(default_factory=dict)
    memory: float | None = None


def table_s3(
    steps: int, plain: tuple[float, float], augmented: tuple[float, float], memory: float, **settings: Any
) -> Preset:
    """Make the preset of a row of Table S3: its outer steps, both accuracies in percent, and its GB."""
    return Preset(
        {"steps": steps, **settings},
        PaperResult(plain[0] / 100, plain[1] / 100, "Table S3"),
        PaperResult(augmented[0] / 100, augmented[1] / 100, "Table S3"),
        memory=memory,
    )


def table_3(
    distilled_with: str, cells: Mapping[tuple[str, str], tuple[float, float]]
) -> dict[tuple[str, str, str], PaperResult]:
    """Make a row of Table 3: accuracies in percent by architecture and norm."""
    return {
        (distilled_with, *tested): PaperResult(mean / 100, std / 100, "Table 3")
        for tested, (mean, std) in cells.items()
    }


def presets(dataset: str) -> Mapping[int, Preset]:
    """Return the presets of a data set by images per class; empty if it has none."""
    dataset = _ALSO.get(dataset, dataset)
    if dataset not in NAMES:
        return {}
    found: Mapping[int, Preset] = import_module(f"rcig_cli.presets.{dataset}").PRESETS
    return found


def paper_result(
    dataset: str,
    ipc: int,
    *,
    augment: bool,
    algorithm: str = PAPER_METHOD,
    distilled_with: str = "none",
    tested: tuple[str, str] = ("convnet", "none"),
) -> PaperResult | None:
    """Return the accuracy in a cell of the paper's tables, or None where it reports none.

    Parameters
    ----------
    dataset, ipc
        What was distilled, and images per class.
    augment
        Whether the tested networks were trained with augmentation.
    algorithm
        The method that distilled the set.
    distilled_with
        The norm of the ConvNet that was distilled with.
    tested
        Architecture and norm of the networks trained on the distilled set.
    """
    if algorithm != PAPER_METHOD:
        return None
    preset = presets(dataset).get(ipc, Preset())
    if (distilled_with, *tested) == ("none", "convnet", "none"):
        return preset.paper_augmented if augment else preset.paper
    return None if augment else preset.across.get((distilled_with, *tested))


def resolve(
    dataset: str, shape: tuple[int, int, int], classes: int, flags: Mapping[str, Any]
) -> DistillConfig:
    """Resolve every setting of a distillation.

    Parameters
    ----------
    dataset
        Name of a prepared data set.
    shape
        ``(H, W, c)`` of its images.
    classes
        Number of its classes.
    flags
        Settings given by the user, by name; ``ipc`` among them.

    Raises
    ------
    ConfigError
        If a setting is unknown or can't have its value.
    """
    check(declared_settings(), flags)
    ipc, algorithm = flags["ipc"], flags.get("algorithm", DEFAULT_ALGORITHM)
    known, allowed = presets(dataset), settings_for(algorithm)
    preset = known[_nearest(known, ipc)].settings if known else {}
    depth = flags.get("depth", preset.get("depth", _depth(shape[0])))
    chosen = {
        "steps": STEPS[_nearest(STEPS, ipc)],
        "depth": depth,
        "activation": "softplus" if depth <= 3 else "relu",
        "l2_rate": 0.05 if depth >= 5 else 5e-4,
        "flip": shape[2] == 3 and classes * ipc <= LARGEST_FLIPPED,
        **METHODS[algorithm].defaults(classes * ipc, flags),
        **preset,
    }
    if "pool_size" in allowed and "pool_size" not in flags:
        models = flags.get("models", allowed["models"].default)
        # The default, or as little more as can be divided evenly among the models of a step.
        chosen["pool_size"] = math.ceil(allowed["pool_size"].default / models) * models
    usable = {name: value for name, value in chosen.items() if name in allowed}
    return DistillConfig.from_json({"dataset": dataset, **usable, **flags})


def _depth(side: int) -> int:
    """Return the depth for a side in pixels: 2 up to 16, 3 up to 32, 4 up to 64, 5 up to 128."""
    return max(2, math.ceil(math.log2(side / 4)))


def _nearest(table: Mapping[int, Any], ipc: int) -> int:
    """Return the largest key not above ``ipc``, or else the smallest key."""
    return max((key for key in table if key <= ipc), default=min(table))
