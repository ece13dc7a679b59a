"""The complete configuration of a distillation: every setting, one value each.

It is what a run's manifest records and what two runs are compared by.
"""

from collections.abc import Mapping
from typing import Any, Self

from rcig_cli.distillation.methods import METHODS, Method
from rcig_cli.distillation.settings import MethodSettings
from rcig_cli.settings import Setting, check, check_names, make, record, setting, settings_of, values_of

DEFAULT_ALGORITHM = "rcig"

_NETWORK = "Network"


@record
class DistillConfig:
    """Settings of a distillation; ``method`` has those of its algorithm."""

    dataset: str = setting(..., "Name of a prepared data set.")
    ipc: int = setting(..., "Distilled images per class.", ge=1)
    algorithm: str = setting(DEFAULT_ALGORITHM, "Method of distillation.", choices=METHODS)
    steps: int = setting(..., "Outer steps.", ge=1)
    batch: int = setting(1024, "Real images per outer step.", ge=1)
    seed: int = setting(0, "Random seed. Default: 0.", ge=0, le=2**32 - 1)
    width: int = setting(128, "Channels of the network's first block.", ge=1)
    depth: int = setting(3, "Blocks of the network.", ge=1)
    norm: str = setting("none", "Normalization while distilling: none or batch.", choices=("none", "batch"))
    activation: str = setting(
        "softplus",
        "Activation while distilling: softplus or relu.",
        panel=_NETWORK,
        choices=("softplus", "relu"),
    )
    method: MethodSettings

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
        chosen = {name: value for name, value in values.items() if name in general}
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


def difference(ours: DistillConfig, theirs: DistillConfig) -> list[str]:
    """Return the settings in which two configurations differ, as ``"width: 32, not 128"`` (ours, theirs)."""
    a, b = ours.to_json(), theirs.to_json()
    return [f"{name}: {a.get(name)}, not {b.get(name)}" for name in {**a, **b} if a.get(name) != b.get(name)]
