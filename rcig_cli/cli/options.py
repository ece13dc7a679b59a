"""Options that several commands share, and options derived from declared settings (`rcig_cli.settings`)."""

import inspect
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.console import Console

if TYPE_CHECKING:
    from rcig_cli.settings import Setting
    from rcig_cli.store.store import Store

_COMMON = "Common options"
StoreOption = Annotated[
    Path,
    typer.Option(
        "--store",
        envvar="RCIG_STORE",
        help="Folder of the store.",
        show_default=True,
        rich_help_panel=_COMMON,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=_COMMON)
]
QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no messages on stderr.", rich_help_panel=_COMMON),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=_COMMON)
]
DEFAULT_STORE = Path("artifacts")

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Read settings from a TOML file, as `rcig show RUN --toml` prints it; options override them.",
    ),
]


@dataclass(frozen=True)
class Context:
    """The store and the console of a command.

    Attributes
    ----------
    root
        The store's folder.
    console
        stdout and stderr.
    """

    root: Path
    console: Console

    def store(self, *, create: bool = False) -> "Store":
        """Open the store."""
        from rcig_cli.store.store import open_store

        return open_store(self.root, create=create)

    def command(self, words: str) -> str:
        """Return a command as the user would type it, with ``--store`` if the store isn't the default one."""
        expected = os.environ.get("RCIG_STORE", str(DEFAULT_STORE))
        elsewhere = "" if self.root == Path(expected) else f" --store {shlex.quote(str(self.root))}"
        return f"rcig {words}{elsewhere}"

    def next(self, words: str) -> None:
        """Name the next useful command."""
        self.console.next(self.command(words))

    def silenced(self) -> "Context":
        """Return a context that prints nothing, for all but the first of several processes."""
        return replace(self, console=Console(json=False, quiet=True))

    def prepare_jax(self) -> None:
        """Import JAX, set up for this machine."""
        from rcig_cli.runs.engine import environment

        environment.silence_libraries()
        environment.prepare_environment()
        environment.prepare_jax()


def context(store: Path, json: bool, quiet: bool) -> Context:
    """Return the context of a command with these options."""
    return Context(store, Console(json=json, quiet=quiet))


def with_context(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--store``, ``--json``, ``--quiet`` and ``--debug`` to a command.

    The command takes a `Context` as its first parameter, which is made from these options.
    """
    signature = inspect.signature(command, eval_str=True)
    first, *own = signature.parameters.values()
    kind = inspect.Parameter.KEYWORD_ONLY
    common = [
        inspect.Parameter("store", kind, default=DEFAULT_STORE, annotation=StoreOption),
        inspect.Parameter("json", kind, default=False, annotation=JsonOption),
        inspect.Parameter("quiet", kind, default=False, annotation=QuietOption),
        inspect.Parameter("debug", kind, default=False, annotation=DebugOption),
    ]

    @wraps(command)
    def run(*, store: Path, json: bool, quiet: bool, debug: bool, **options: Any) -> None:
        del debug  # read by `app.main`
        command(**{first.name: context(store, json, quiet)}, **options)

    return _with_signature(run, signature, [*own, *common])


def with_settings(
    *declared: "Setting", panel: str | None = None, show_defaults: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each setting to a command.

    The command has a parameter ``settings``, which receives those that were given on the command line, by
    name, converted and checked one by one.

    Parameters
    ----------
    *declared
        The settings, in the order in which ``--help`` lists them.
    panel
        The heading for settings that don't name one.
    show_defaults
        Whether help texts end with the default value, where it is the same in all cases.
    """
    by_name = {each.name: each for each in declared}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
        split = next((i for i, p in enumerate(own) if not _comes_first(p)), len(own))
        options = [_parameter(each, panel, show_defaults) for each in declared]

        @wraps(command)
        def run(**given: Any) -> None:
            texts = {name: value for name in by_name if (value := given.pop(name)) is not None}
            command(settings=converted(by_name, texts), **given)

        return _with_signature(run, signature, [*own[:split], *options, *own[split:]])

    return decorate


def converted(declared: Mapping[str, "Setting"], texts: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values from the command line, and check each by itself.

    Raises
    ------
    ConfigError
        With the setting, the value and what is allowed.
    """
    from rcig_cli.settings import check

    values = {
        name: declared[name].parse(value) if isinstance(value, str) else value
        for name, value in texts.items()
    }
    check(declared, values)
    return values


def unique(settings: Iterable["Setting"]) -> list["Setting"]:
    """Return settings of several records without repetitions; a name means the same in all of them."""
    found: dict[str, Setting] = {}
    for each in settings:
        found.setdefault(each.name, each)
    return list(found.values())


def given(**settings: Any) -> dict[str, Any]:
    """Keep the settings that were given on the command line."""
    return {name: value for name, value in settings.items() if value is not None}


def _with_signature(
    run: Any, signature: inspect.Signature, parameters: Iterable[inspect.Parameter]
) -> Callable[..., None]:
    """Give a wrapper the parameters that Typer and other decorators shall see."""
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    run.__signature__ = signature.replace(parameters=parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__
    wrapper: Callable[..., None] = run
    return wrapper


def _comes_first(parameter: inspect.Parameter) -> bool:
    """Whether a parameter comes before the options: an argument, or the context."""
    metadata = getattr(parameter.annotation, "__metadata__", ())
    is_argument = any(isinstance(each, typer.models.ArgumentInfo) for each in metadata)
    return is_argument or parameter.annotation is Context


def _parameter(declared: "Setting", panel: str | None, show_default: bool) -> inspect.Parameter:
    flags = [declared.option]
    kind: Any = str | None
    metavar: str | None = "|".join(declared.choices) or {int: "INTEGER", float: "NUMBER"}.get(declared.type)
    if declared.type is bool:
        kind, metavar = bool | None, None
        flags = [f"{declared.option}/--no-{declared.option.removeprefix('--')}"]
    known = declared.default is not None and declared.type is not bool and "Default" not in declared.help
    option = typer.Option(
        *flags,
        help=f"{declared.help} Default: {declared.default}." if show_default and known else declared.help,
        metavar=metavar,
        rich_help_panel=declared.panel or panel,
        show_default=False,
    )
    return inspect.Parameter(
        declared.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )
