"""``rcig doctor``."""

import sys

import typer

from rcig_cli.cli.options import Context, with_settings
from rcig_cli.errors import ConfigError


@with_settings(needs_store=False)
def doctor(here: Context) -> None:
    """Check this machine: versions, devices, whether JAX uses the GPU, and whether it computes correctly.

    Example: rcig doctor

    Exits with code 1 if something is wrong.
    """
    refusal = ""
    try:
        here.prepare_jax()
    except ConfigError as error:
        refusal = str(error)
    from rcig_cli.runs.housekeeping.doctor import examine

    found = examine(refusal)
    here.console.document(found)
    well, wrong = _marks()
    for check in found["checks"]:
        here.console.text(f"{well if check['ok'] else wrong} {check['text']}")
        if check["advice"]:
            here.console.text(f"{' ' * len(wrong)} {check['advice']}")
    if not all(check["ok"] for check in found["checks"]):
        raise typer.Exit(1)


def _marks() -> tuple[str, str]:
    """Return the marks of what is well and of what is wrong, in characters that stdout has."""
    try:
        "✓✗".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "ok", "!!"
    return "✓", "✗"
