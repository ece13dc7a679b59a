"""``rcig doctor``."""

from pathlib import Path

import typer

from rcig_cli.cli.options import DebugOption, JsonOption, QuietOption, context
from rcig_cli.cli.show import lines_of


def doctor(json: JsonOption = False, quiet: QuietOption = False, debug: DebugOption = False) -> None:
    """Report versions and devices, and check that JAX computes correctly on this machine.

    Example: rcig doctor
    """
    del debug
    here = context(Path(), json, quiet)
    here.prepare_jax()
    from rcig_cli.runs.housekeeping.doctor import examine

    findings = examine()
    here.console.data("\n".join(lines_of(findings)), findings)
    if not findings["zero_derivative_is_zero"]:
        here.console.warn("XLA computes wrong numbers here: a derivative that must be 0 is not.")
        raise typer.Exit(1)
