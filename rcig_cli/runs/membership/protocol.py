"""The settings of membership inference attacks, with the paper's defaults (4.5 and S2).  Needs no JAX.

    members        the images that were distilled: the data set's ``train``
    non-members    the same number of images of its ``test``
    after k steps  of one training at a constant learning rate, so that k alone determines its progress

The paper attacks after 16 000 steps, and draws curves up to there.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rcig_cli.errors import ConfigError, shorten
from rcig_cli.presets.config import DistillConfig
from rcig_cli.presets.paper_privacy import STEPS
from rcig_cli.runs.evaluate.protocol import NetworkProtocol, network_defaults
from rcig_cli.settings import make, record, setting, values_of

SHADOWS = 16  # of LiRA, by default
_FEWEST_SHADOWS = 4  # two with each example and two without, so that there is a variance


@record
class AttackProtocol(NetworkProtocol):
    """How networks are trained and attacked.

    ``steps`` are the training steps after which networks are attacked, increasing.  With ``flip``, mirrored
    images are added to the distilled images and to the random subset, but not to the real images.
    """

    shadows: int = setting(
        0,
        f"Shadow networks for each target of LiRA, an even number from 4. Default with --lira: {SHADOWS}.",
        ge=0,
    )
    steps: tuple[int, ...] = STEPS

    def __post_init__(self) -> None:
        """Refuse a number of shadow networks that can't be divided into complementary pairs."""
        if self.shadows and (self.shadows < _FEWEST_SHADOWS or self.shadows % 2):
            raise ValueError(f"shadows must be an even number from {_FEWEST_SHADOWS}, not {self.shadows}")

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {**values_of(self), "steps": list(self.steps)}


def attack_protocol(
    config: DistillConfig, *, steps: Sequence[int] | None = None, **given: Any
) -> AttackProtocol:
    """Return the paper's protocol for a distilled set, with some settings changed.

    Parameters
    ----------
    config
        How the set was distilled.
    steps
        Training steps after which networks are attacked; by default the paper's.
    **given
        Other settings of `AttackProtocol` by name; None means the default.

    Raises
    ------
    ConfigError
        If a setting is unknown or has a value that is not allowed.
    """
    given = {name: value for name, value in given.items() if value is not None}
    defaults = network_defaults(config, given)
    protocol = make(AttackProtocol, {**defaults, **given})
    if steps is None:
        return protocol
    whole = isinstance(steps, Sequence) and all(isinstance(each, int) and each > 0 for each in steps)
    if not (whole and steps):
        raise ConfigError(f"steps must be whole numbers of 1 or more, such as [500], not {shorten(steps)}.")
    return replace(protocol, steps=tuple(sorted(set(steps))))
