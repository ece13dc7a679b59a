"""What the protocols of evaluation and of attack have in common: the network that is trained, its bounds."""

from collections.abc import Iterable
from typing import Any

from rcig_cli.errors import ConfigError
from rcig_cli.networks.architectures import architecture_of
from rcig_cli.networks.norms import NORMALIZATIONS
from rcig_cli.presets.config import DistillConfig


def network_settings(config: DistillConfig, architecture: str | None) -> dict[str, Any]:
    """Return the network that is trained on what ``config`` gives, where nothing else is asked for.

    The run's own width and depth if it was distilled with this architecture, else the architecture's.

    Raises
    ------
    ConfigError
        If there is no such architecture.
    """
    name = architecture or "convnet"
    form = architecture_of(name)
    size = config if name == config.architecture else form
    return {
        "architecture": name,
        "normalization": form.normalization,
        "width": size.width,
        "depth": size.depth,
    }


def check_protocol(protocol: Any, positive: Iterable[str]) -> None:
    """Refuse a protocol whose seed or norm can't be, or with something ``positive`` that isn't.

    Raises
    ------
    ConfigError
        With a sentence that says which.
    """
    for name in ("networks", "width", "depth", "learning_rate", *positive):
        value = getattr(protocol, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name} must be above 0, not {value}.")
    if not 0 <= protocol.seed < 2**32:
        raise ConfigError(f"seed must be a whole number from 0 to {2**32 - 1}, not {protocol.seed}.")
    if protocol.normalization not in NORMALIZATIONS:
        raise ConfigError(
            f"normalization must be one of {', '.join(NORMALIZATIONS)}, not {protocol.normalization!r}."
        )
