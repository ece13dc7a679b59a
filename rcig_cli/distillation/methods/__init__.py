"""The methods, one file each, and their registry.

To add a method, write a module with its settings record, its ``make`` and its `Method`, put the `Method`
into `METHODS`, and write a test; `method` describes the record.  Options, presets, the run loop, metrics,
curves and the command reference follow.
"""

from collections.abc import Mapping

from rcig_cli.distillation.methods.cig import CIG
from rcig_cli.distillation.methods.coresets import HERDING, K_CENTER, K_MEANS, RANDOM
from rcig_cli.distillation.methods.dc import DC, DSA
from rcig_cli.distillation.methods.dm import DM
from rcig_cli.distillation.methods.frepo import FREPO
from rcig_cli.distillation.methods.kip import KIP
from rcig_cli.distillation.methods.method import Method, Metric
from rcig_cli.distillation.methods.mtt import MTT
from rcig_cli.distillation.methods.rcig import RCIG
from rcig_cli.distillation.methods.rfad import RFAD
from rcig_cli.distillation.methods.vig import VIG

_ALL = (RCIG, CIG, VIG, FREPO, RFAD, DM, DC, DSA, MTT, KIP, RANDOM, HERDING, K_CENTER, K_MEANS)
METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}

__all__ = ["METHODS", "Method", "Metric"]
