"""The methods, one file each, and their registry; and the methods of users (`rcig_cli.extensions`).

To add a method, write a module with its settings record, its ``make`` and its `Method`, put the `Method`
into `METHODS`, and write a test; `method` describes the record.  Options, presets, the run loop, metrics,
curves and the command reference follow.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rcig_cli.distillation.methods.cig import CIG
from rcig_cli.distillation.methods.coresets import HERDING, K_CENTER, K_MEANS, RANDOM
from rcig_cli.distillation.methods.dc import DC, DSA
from rcig_cli.distillation.methods.dm import DM
from rcig_cli.distillation.methods.frepo import FREPO
from rcig_cli.distillation.methods.kip import KIP
from rcig_cli.distillation.methods.method import Method, Metric, takes_no_steps
from rcig_cli.distillation.methods.mtt import MTT
from rcig_cli.distillation.methods.rcig import RCIG
from rcig_cli.distillation.methods.rfad import RFAD
from rcig_cli.distillation.methods.vig import VIG
from rcig_cli.distillation.settings import MethodSettings
from rcig_cli.errors import ConfigError, shorten
from rcig_cli.extensions import load, reference_to

_ALL = (RCIG, CIG, VIG, FREPO, RFAD, DM, DC, DSA, MTT, KIP, RANDOM, HERDING, K_CENTER, K_MEANS)
METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}

# Methods of the user's own that were used in this process, by reference: what the module has, and the method
# that was made of it.
_imported: dict[str, tuple[Any, Method]] = {}


def find_method(name: str) -> Method:
    """Return a method of `METHODS`, or import one of the user's own.

    The module's attribute is read each time: in a notebook it may have been defined again.

    Raises
    ------
    ConfigError
        If there is none of this name, or what the name stands for is not a usable `Method`.
    """
    if name in METHODS:
        return METHODS[name]
    reference = reference_to("method", name)
    found = load("method", name)
    if reference not in _imported or _imported[reference][0] is not found:
        _imported[reference] = found, _checked(reference, found)
    return _imported[reference][1]


def is_known(name: str) -> bool:
    """Whether a method is one of `METHODS`, or was imported by `find_method`."""
    return name in METHODS or name in _imported


def known_method(name: str) -> Method:
    """Return a method without importing it; the `unread_method` if it is not known (`is_known`)."""
    if name in _imported:
        return _imported[name][1]
    return METHODS.get(name) or unread_method(name)


def unread_method(name: str) -> Method:
    """Return what stands for the method of a stored run that is only read.

    It has no settings of its own and no functions, and refuses nothing.
    """
    settings = MethodSettings
    return Method(name=name, title=name, reference=None, settings=settings, metrics=(), batch_norm=True)


def _checked(reference: str, found: Any) -> Method:
    """Return a method under its reference as its name, after checking what can be checked before a run."""
    wanted = "expected a rcig_cli.distillation.methods.Method (docs/extending.md)"
    if not isinstance(found, Method):
        raise ConfigError(f"{reference} is {shorten(found)}: {wanted}.")
    settings = found.settings
    is_record = isinstance(settings, type) and "__pydantic_fields__" in vars(settings)
    if not (is_record and issubclass(settings, MethodSettings)):
        raise ConfigError(
            f"The settings of {reference} are {shorten(settings)}: expected a subclass of MethodSettings, "
            "with @record above it."
        )
    if (found.make is takes_no_steps) == (found.pick is None):
        raise ConfigError(f"{reference} must have either make or pick, and not both.")
    if any(metric.name == "step" for metric in found.metrics):
        raise ConfigError(
            f"{reference} has a metric with the name step, which is that of the step's number in the log: "
            "rename the metric."
        )

    def make(task: Any, values: Any) -> Any:
        from rcig_cli.distillation.step import Step

        step = found.make(task, values)
        if not isinstance(step, Step):
            raise ConfigError(
                f"make of {reference} returned {shorten(step)}: expected a Step, as make_step returns it."
            )
        return step

    return replace(found, name=reference, make=make)


__all__ = ["METHODS", "Method", "Metric", "find_method", "is_known", "known_method", "unread_method"]
