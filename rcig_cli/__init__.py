"""Distil an image data set to a few synthetic images per class, and evaluate the result.

::

    import rcig_cli as rcig

    rcig.prepare("digits")
    run = rcig.distill("digits", ipc=1, steps=400)
    rcig.evaluate(run)

Every function but `distill_arrays` has the parameter ``store``, the folder of the store (by default the
environment variable ``RCIG_STORE``, else ``./artifacts``).  The slow ones have ``progress``: whether to print
progress to stderr.
``docs/python.md`` has examples of all.

Importing this package imports neither JAX nor NumPy; each function imports what it needs when it is called.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rcig_cli.api.functions import (
        RcigWarning,
        attack,
        continual,
        distill,
        distill_arrays,
        evaluate,
        export,
        import_set,
        list_datasets,
        list_runs,
        load,
        prepare,
        push,
        report,
        report_all,
        sweep,
    )
    from rcig_cli.api.results import Attack, Dataset, DistilledArrays, Run, Sweep
    from rcig_cli.errors import ConfigError, Corrupt, Interrupted, Locked, NotFound, NumericsError, RcigError
    from rcig_cli.runs.continual.results import Continual
    from rcig_cli.runs.evaluate.results import Evaluation

__version__ = "0.1.0"

__all__ = [
    "Attack",
    "ConfigError",
    "Continual",
    "Corrupt",
    "Dataset",
    "DistilledArrays",
    "Evaluation",
    "Interrupted",
    "Locked",
    "NotFound",
    "NumericsError",
    "RcigError",
    "RcigWarning",
    "Run",
    "Sweep",
    "attack",
    "continual",
    "distill",
    "distill_arrays",
    "evaluate",
    "export",
    "import_set",
    "list_datasets",
    "list_runs",
    "load",
    "prepare",
    "push",
    "report",
    "report_all",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in (
            "errors",
            "api.results",
            "api.functions",
            "runs.evaluate.results",
            "runs.continual.results",
        ):
            loaded = import_module(f"rcig_cli.{module}")
            if hasattr(loaded, name):
                return getattr(loaded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
