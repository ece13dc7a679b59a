"""Options that several commands share, and what is set up before any of them runs."""

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.render import Console

if TYPE_CHECKING:
    from rcig_cli.store.layout import Store

StoreOption = Annotated[
    Path,
    typer.Option("--store", envvar="RCIG_STORE", help="Folder of the artifact store.", show_default=True),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages on stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
DEFAULT_STORE = Path("artifacts")


@dataclass(frozen=True)
class Context:
    """What a command works with: where things are kept, and where its words go.

    Attributes
    ----------
    root
        The store's folder.
    console
        stdout and stderr, as the options say.
    """

    root: Path
    console: Console

    def store(self, *, create: bool = False) -> "Store":
        """Open the store."""
        from rcig_cli.store.layout import open_store

        return open_store(self.root, create=create)

    def command(self, words: str) -> str:
        """A command as the user would type it, with the store where it isn't where it would be looked for."""
        expected = os.environ.get("RCIG_STORE", str(DEFAULT_STORE))
        elsewhere = "" if self.root == Path(expected) else f" --store {shlex.quote(str(self.root))}"
        return f"rcig {words}{elsewhere}"

    def next(self, words: str) -> None:
        """Name the next useful command."""
        self.console.next(self.command(words))

    def silenced(self) -> "Context":
        """The same, with nothing said: for a process that isn't the first of several."""
        return replace(self, console=Console(json=False, quiet=True))

    def prepare_jax(self) -> None:
        """Import JAX, set up for this machine."""
        from rcig_cli.runs.engine import device

        device.prepare_environment()
        device.prepare_jax()


def context(store: Path, json: bool, quiet: bool) -> Context:
    """Put a command's context together."""
    return Context(store, Console(json=json, quiet=quiet))


def given(**settings: Any) -> dict[str, Any]:
    """Keep the settings that were given on the command line."""
    return {name: value for name, value in settings.items() if value is not None}
