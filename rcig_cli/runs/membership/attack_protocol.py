"""How networks are trained and attacked: the paper's protocol (4.5 and S2), and what may differ from it.

    members        the images that were distilled, the data set's ``train``
    non-members    as many of its ``test``
    after k steps  of one training at a constant learning rate, so that k alone says how far it is

The paper attacks after 16 000 steps, and draws curves up to there.
"""

from dataclasses import dataclass
from typing import Any

from rcig_cli.errors import ConfigError
from rcig_cli.presets.paper_privacy import STEPS
from rcig_cli.runs.distill.distilled import DistilledSet
from rcig_cli.runs.evaluate.protocols import check_protocol, network_settings

_FEWEST_SHADOWS = 4  # two with each example and two without, so that there is a variance


@dataclass(frozen=True)
class AttackProtocol:
    """How networks are trained and attacked.

    Attributes
    ----------
    architecture, normalization, width, depth
        The network that is trained; the depth is None where the architecture's is fixed.
    networks
        How many on each target, each from an initialisation of its own.
    steps
        Training steps after which they are attacked, rising.
    learning_rate
        Adam's, constant.
    flip
        Whether distilled images, and the random subset, are used together with their mirror images.
    shadows
        Shadow networks for each of LiRA's targets; 0 leaves LiRA out.
    seed
        From which all randomness follows, with the run's name.
    """

    architecture: str
    normalization: str
    width: int
    depth: int | None
    networks: int
    steps: tuple[int, ...]
    learning_rate: float
    flip: bool
    shadows: int
    seed: int


def default_protocol(distilled: DistilledSet, **given: Any) -> AttackProtocol:
    """Return the paper's protocol for a distilled set, with what was ``given`` (and is not None) in place.

    Raises
    ------
    ConfigError
        If a value can't be.
    """
    config = distilled.config
    paper: dict[str, Any] = {
        **network_settings(config, given.get("architecture")),
        "networks": 5,
        "steps": STEPS,
        "learning_rate": 1e-4,
        "flip": config.algorithm.flip,
        "shadows": 0,
        "seed": 0,
    }
    settings = {**paper, **{name: value for name, value in given.items() if value is not None}}
    settings["steps"] = tuple(sorted(set(settings["steps"])))
    protocol = AttackProtocol(**settings)
    check_protocol(protocol, positive=())
    if not protocol.steps or protocol.steps[0] < 1:
        raise ConfigError("steps must be one number above 0 or more.")
    if protocol.shadows and (protocol.shadows < _FEWEST_SHADOWS or protocol.shadows % 2):
        raise ConfigError(f"shadows must be an even number from {_FEWEST_SHADOWS}, not {protocol.shadows}.")
    return protocol
