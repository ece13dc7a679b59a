"""Parametrizations, one file each, and their registry: what a distilled set stores in place of its images.

To add one, write a module with its settings record, its functions and its `Parametrization`, put that into
`PARAMETRIZATIONS`, and write a test; `parametrization` describes the record.  Options, checks, the run loop,
files and the command reference follow.
"""

from collections.abc import Mapping

from rcig_cli.distillation.parametrizations.basis import BASIS
from rcig_cli.distillation.parametrizations.multiformation import MULTIFORMATION
from rcig_cli.distillation.parametrizations.parametrization import (
    Decoder,
    Parametrization,
    ParametrizationSettings,
)
from rcig_cli.distillation.parametrizations.raw import RAW
from rcig_cli.distillation.parametrizations.stored_bytes import StoredBytes

PARAMETRIZATIONS: Mapping[str, Parametrization] = {each.name: each for each in (RAW, MULTIFORMATION, BASIS)}

__all__ = ["PARAMETRIZATIONS", "Decoder", "Parametrization", "ParametrizationSettings", "StoredBytes"]
