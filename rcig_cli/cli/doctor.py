"""``rcig doctor``."""

import typer

from rcig_cli.cli.options import Context, with_settings
from rcig_cli.cli.show import lines_of


@with_settings(needs_store=False)
def doctor(here: Context) -> None:
    """Report versions and devices, and check that JAX computes correctly on this machine.

    Example: rcig doctor
    """
    here.prepare_jax()
    from rcig_cli.runs.housekeeping.doctor import examine

    findings = examine()
    here.console.data("\n".join(lines_of(findings)), findings)
    if not findings["zero_derivative_is_zero"]:
        here.console.warn("XLA computes wrong numbers here: a derivative that must be 0 is not.")
        raise typer.Exit(1)
