"""The fully resolved configuration of a distillation: every setting, one value each.

It is what a run's manifest records and what two runs are compared by.
"""

import difflib
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from rcig_cli.distillation.config import AlgorithmConfig
from rcig_cli.distillation.family import FAMILY
from rcig_cli.errors import ConfigError

_POSITIVE_INTEGERS = (
    *("ipc", "steps", "batch", "width", "depth"),
    *("models", "pool_size", "pool_max_steps", "pool_steps"),
)
_FLAGS = ("flip", "label_margin")
_COUNTS = ("n_inner", "n_hessian")
LEARNING_RATES = ("image_rate", "label_rate", "temperature_rate", "pool_rate")  # of every step
_POSITIVE_NUMBERS = (
    *("l2_rate", "inner_rate_start", "hessian_rate_start"),
    *LEARNING_RATES,
)
_CHOICES = {
    "architecture": ("convnet",),
    "normalization": ("none", "batch"),
    "activation": ("relu", "softplus"),
    "algorithm": tuple(FAMILY),
    "solver": ("adam", "cg"),
    "solve_precision": ("float32", "float64"),
}
# What evaluation has more of.
_NARROWER = dict.fromkeys(("architecture", "normalization"), " while distilling (rcig evaluate takes more)")


@dataclass(frozen=True)
class DistillConfig:
    """Every setting of a distillation.

    Attributes
    ----------
    dataset
        Name of a prepared data set.
    ipc
        Distilled images per class.
    steps
        Outer steps.
    batch
        Real images per outer step.
    seed
        From it and the step follows all randomness.
    architecture, normalization, width, depth, activation
        The network that is distilled with.
    algorithm
        The algorithm's own settings.
    """

    dataset: str
    ipc: int
    steps: int
    batch: int = 1024
    seed: int = 0
    architecture: str = "convnet"
    normalization: str = "none"
    width: int = 128
    depth: int = 3
    activation: str = "softplus"
    algorithm: AlgorithmConfig = field(default_factory=AlgorithmConfig)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values, the algorithm's in an object of their own."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` gave.

        Raises
        ------
        ConfigError
            If a setting is unknown (the nearest is named) or missing.
        """
        values = dict(document)
        algorithm = values.pop("algorithm", {})
        if not isinstance(algorithm, dict):
            raise ConfigError(f"algorithm must be an object of its settings, not {short(algorithm)}.")
        _check_names(algorithm, AlgorithmConfig)
        _check_names(values, cls)
        try:
            config = cls(**values, algorithm=AlgorithmConfig(**algorithm))
        except TypeError as error:
            raise ConfigError(f"The configuration is incomplete: {error}.") from error
        check(config)
        return config

    def override(self, settings: Mapping[str, Any]) -> Self:
        """Return the configuration with some settings changed, wherever they belong.

        Raises
        ------
        ConfigError
            If a setting is unknown (the nearest is named) or can't have that value.
        """
        own = {f.name for f in fields(self)} - {"algorithm"}
        algorithm = {name: value for name, value in settings.items() if name not in own}
        _check_names(algorithm, AlgorithmConfig, also=own)
        outer = {name: value for name, value in settings.items() if name in own}
        changed = replace(self, algorithm=replace(self.algorithm, **algorithm), **outer)
        check(changed)
        return changed


def flat(config: DistillConfig) -> dict[str, Any]:
    """All settings side by side, by name."""
    document = config.to_json()
    return {**document.pop("algorithm"), **document}


def difference(ours: DistillConfig, theirs: DistillConfig) -> list[str]:
    """Say field by field where two configurations differ: ``"width: 32, not 128"`` for ours and theirs."""
    a, b = flat(ours), flat(theirs)
    return [f"{name}: {a[name]}, not {b[name]}" for name in a if a[name] != b[name]]


def check(config: DistillConfig) -> None:
    """Refuse values that can't be.

    Raises
    ------
    ConfigError
        With one sentence for each of them.
    """
    values = flat(config)
    problems = [
        *(
            f"{n} must be a whole number of 1 or more, not {short(values[n])}"
            for n in _POSITIVE_INTEGERS
            if not _natural(values[n])
        ),
        *(
            f"{n} must be a whole number of 0 or more, not {short(values[n])}"
            for n in _COUNTS
            if not _natural(values[n], 0)
        ),
        *(
            f"{n} must be a number above 0, not {short(values[n])}"
            for n in _POSITIVE_NUMBERS
            if not _positive(values[n])
        ),
        *(
            f"{n} must be one of {', '.join(c)}{_NARROWER.get(n, '')}, not {short(values[n])}"
            for n, c in _CHOICES.items()
            if values[n] not in c
        ),
        *(
            f"{n} must be true or false, not {short(values[n])}"
            for n in _FLAGS
            if values[n] not in (True, False)
        ),
    ]
    member = FAMILY[config.algorithm.algorithm] if values["algorithm"] in tuple(FAMILY) else None
    if values["solver"] == "cg" and member is not None and not member.linearized:
        problems.append(f"algorithm {values['algorithm']} has no quadratic for solver cg; its solver is adam")
    subset = values["backward_subset"]
    if subset is not None and not _natural(subset):
        problems.append(f"backward_subset must be a whole number of 1 or more, not {short(subset)}")
    if not problems and values["pool_size"] % values["models"]:
        problems.append(
            f"pool_size {values['pool_size']} can't be shared out among {values['models']} models a step; "
            f"use a multiple of {values['models']}"
        )
    decay = values["average_decay"]
    if not (decay == 0 or (_positive(decay) and decay < 1)):
        problems.append(f"average_decay must be at least 0 and below 1, not {short(decay)}")
    if not (_natural(config.seed, 0) and config.seed < 2**32):
        problems.append(f"seed must be a whole number from 0 to {2**32 - 1}, not {short(config.seed)}")
    if not isinstance(config.dataset, str):
        problems.append(f"dataset must be a name, not {short(config.dataset)}")
    if problems:
        raise ConfigError("; ".join(problems) + ".")


def short(value: object) -> str:
    """Return a value as Python writes it, cut so that it fits into a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _natural(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _positive(value: Any) -> bool:
    # A whole number may be larger than any other.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= sys.float_info.max


def _check_names(given: Mapping[str, Any], record: type, also: set[str] | None = None) -> None:
    known = {f.name for f in fields(record)}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name[:100], sorted(known | (also or set())), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"there is no setting {short(name)}{hint}")
