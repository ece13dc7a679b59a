"""What a method is made for: everything that its functions depend on besides its own settings."""

from dataclasses import dataclass

from rcig_cli.distillation.network import Network
from rcig_cli.distillation.platform import Platform


@dataclass(frozen=True)
class Task:
    """What is distilled, and on what kind of machine.

    Attributes
    ----------
    network
        The network that is distilled with.
    platform
        The layout of loops and batches.
    steps
        Outer steps of the run, over which a schedule of the learning rates extends.
    """

    network: Network
    platform: Platform
    steps: int = 1
