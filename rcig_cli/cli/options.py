"""Options that several commands share, and options derived from declared settings (`rcig_cli.settings`)."""

import inspect
import itertools
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcig_cli.cli.command import (
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    value_of,
)
from rcig_cli.cli.console import Console, printable
from rcig_cli.errors import ConfigError, shorten
from rcig_cli.extensions import METAVAR
from rcig_cli.store.location import command, default_root

if TYPE_CHECKING:
    from rcig_cli.settings import Setting
    from rcig_cli.store.store import Store

_KEYWORD = inspect.Parameter.KEYWORD_ONLY

CheckpointOption = Annotated[
    int | None,
    typer.Option(
        metavar="STEPS",
        help="Outer steps between checkpoints. Default: every 10 minutes.",
        min=1,
        rich_help_panel="Running",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting by name, such as one of a method of your own; the value is written as in TOML. "
        "May be given several times.",
    ),
]


TagOption = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="A word to find the run by. May be given several times."),
]


@dataclass(frozen=True)
class Context:
    """The folder of the store, and the console of a command."""

    root: Path
    console: Console

    def store(self, *, create: bool = False) -> "Store":
        """Open the store."""
        from rcig_cli.store.store import open_store

        return open_store(self.root, create=create)

    def command(self, words: str) -> str:
        """Return a command as the user would type it, with ``--store`` if the store isn't the default one."""
        return command(words, self.root)

    def next(self, words: str) -> None:
        """Print the next useful command, without ``--json`` only."""
        if not self.console.json:
            self.console.err.print(printable(f"Next: {self.command(words)}"), style="dim", markup=False)

    def prepare_jax(self, *, use_devices: bool = True) -> None:
        """Import JAX, set up for this machine; without ``use_devices`` where `processes.join` is to follow.

        Raises
        ------
        ConfigError
            If the environment asks for what would change results, or for a device that is not there.
        """
        from rcig_cli.runs.engine import environment

        environment.silence_libraries()
        environment.prepare_environment()
        environment.prepare_jax()
        if ignored := environment.pin():
            self.console.note(f"Ignored, because results must not depend on it: {', '.join(ignored)}.")
        if use_devices:
            environment.check_devices()


def _context(
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> Context:
    """Return the context of a command with these options, which all commands have."""
    del debug  # read by `app.main`
    return Context(store or default_root(), Console(json=json, quiet=quiet))


def with_settings(
    *declared: "Setting",
    repeated: Collection[str] = (),
    show_defaults: bool = False,
    needs_store: bool = True,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add an option for each setting to a command, and the options that all commands share.

    The command's first parameter receives a `Context`.  Where there are settings, its parameter ``settings``
    receives those that were given on the command line, by name, converted and checked one by one.

    Parameters
    ----------
    *declared
        The settings, in the order in which ``--help`` lists them.
    repeated
        Names of settings that may be given several times; the command receives lists of their values.
    show_defaults
        Whether help texts end with the default value, where it is the same in all cases.
    needs_store
        Whether the command has ``--store``.
    """
    by_name = {each.name: each for each in declared}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        common = dict(inspect.signature(_context).parameters)
        if not needs_store:
            del common["store"]
        first, *own = (each for name, each in signature.parameters.items() if name != "settings")
        parameters = [
            *filter(_is_argument, own),
            *(_parameter(each, show_defaults, each.per_class or each.name in repeated) for each in declared),
            *itertools.filterfalse(_is_argument, own),
            *common.values(),
            inspect.Parameter("parsed", _KEYWORD, annotation=typer.Context),
        ]

        def run(parsed: typer.Context, **given: Any) -> None:
            here = _context(**{name: value_of(parsed, name) for name in common})
            given = {name: value for name, value in given.items() if name not in common}
            texts = {name: value for name in by_name if (value := given.pop(name)) not in (None, [])}
            try:
                if declared:
                    given["settings"] = converted(by_name, texts)
                command(**{first.name: here}, **given)
            except ConfigError as error:
                error.args = (_with_options(str(error), texts, by_name),)
                raise

        parameters = [each.replace(kind=_KEYWORD) for each in parameters]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


with_context = with_settings()


def converted(declared: Mapping[str, "Setting"], texts: Mapping[str, Any]) -> dict[str, Any]:
    """Convert values from the command line, and check each by itself.

    Raises
    ------
    ConfigError
        With the setting, the value and what is allowed.
    """
    from rcig_cli.settings import check

    def parsed(name: str, value: Any) -> Any:
        return declared[name].parse(value) if isinstance(value, str) else value

    single = {
        name: declared[name].parse_per_class(value) if declared[name].per_class else parsed(name, value)
        for name, value in texts.items()
        if declared[name].per_class or not isinstance(value, list)
    }
    check(declared, single)
    several = {name: [parsed(name, each) for each in texts[name]] for name in texts.keys() - single.keys()}
    for name, values in several.items():
        for value in values:
            check(declared, {name: value})
    return {**single, **several}


def _with_options(message: str, given: Collection[str], declared: Mapping[str, "Setting"]) -> str:
    """Write settings that were given as options as the user typed them: ``--l2-rate``, not ``l2_rate``.

    In a message a clause about a setting begins with its name; a name with an underscore is no other word.
    """
    for name in given:
        option = declared[name].option
        if f"setting {name!r}" in message:  # "There is no setting 'solver' of dm; the settings are ..."
            known = re.compile(rf"\b({'|'.join(declared)})\b")
            head, _, names = message.partition("; ")
            names = known.sub(lambda match: declared[match[0]].option, names)
            message = f"{head.replace(f'setting {name!r}', f'option {option}')}; {names}"
        message = re.sub(rf"(^|; ){name}\b(?=[ :])", rf"\1{option}", message)
        if "_" in name:
            message = re.sub(rf"(?<![\w'-]){name}\b", option, message)
    return message


def assignments(texts: Collection[str] | None) -> dict[str, Any]:
    """Read the values of `SetOption`: numbers and truth values as TOML has them, anything else as text.

    Raises
    ------
    ConfigError
        If one is not of the form ``NAME=VALUE``.
    """
    found = {}
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise ConfigError(f"--set must be NAME=VALUE, such as --set image_lr=0.01, not {shorten(text)}.")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value
    return found


def _is_argument(parameter: inspect.Parameter) -> bool:
    metadata = getattr(parameter.annotation, "__metadata__", ())
    return any(isinstance(each, typer.models.ArgumentInfo) for each in metadata)


def _parameter(declared: "Setting", show_default: bool, repeated: bool) -> inspect.Parameter:
    flags = [declared.option]
    kind: Any = list[str] | None if repeated else str | None
    choices = [*declared.known, *([METAVAR] if declared.extension else [])]
    metavar: str | None = "|".join(choices) or {int: "INTEGER", float: "NUMBER"}.get(declared.type)
    if declared.per_class:
        metavar = "N|CLASS=N"
    if declared.type is bool:
        kind, metavar = bool | None, None
        flags = [f"{declared.option}/--no-{declared.option.removeprefix('--')}"]
    text = declared.help_with_default if show_default else declared.help
    option = typer.Option(
        *flags,
        help=text + (" May be given several times." if repeated else ""),
        metavar=metavar,
        rich_help_panel=declared.panel,
        show_default=False,
    )
    return inspect.Parameter(declared.name, _KEYWORD, default=None, annotation=Annotated[kind, option])
