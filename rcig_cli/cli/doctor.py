"""``rcig doctor``."""

import typer

from rcig_cli.cli.options import Context, with_settings
from rcig_cli.cli.show import lines_of


@with_settings(needs_store=False)
def doctor(here: Context) -> None:
    """Report versions and devices, and check that JAX computes correctly on this machine.

    Example: rcig doctor
    """
    from rcig_cli.errors import ConfigError

    try:
        here.prepare_jax()
        from rcig_cli.runs.housekeeping.doctor import examine

        findings, problem = examine(), "none"
        if not findings["zero_derivative_is_zero"]:
            problem = "XLA computes wrong numbers here: a derivative that must be 0 is not."
    except ConfigError as error:
        from rcig_cli.store.records import versions

        findings, problem = {"versions": versions(), "devices": []}, str(error)
    findings["problem"] = problem
    here.console.data("\n".join(lines_of(findings)), findings)
    if problem != "none":
        here.console.warn(problem)
        raise typer.Exit(1)
