"""Command-line options derived from records of settings (`rcig_cli.settings`)."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer

from rcig_cli.settings import Setting, check


def with_settings(
    *declared: Setting, panel: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting.

    The command has a parameter ``settings``, which receives those that were given on the command line, by
    name, converted and checked one by one.

    Parameters
    ----------
    *declared
        The settings, in the order in which ``--help`` lists them.
    panel
        The heading for settings that don't name one.
    """
    by_name = {each.name: each for each in declared}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [parameter for name, parameter in signature.parameters.items() if name != "settings"]
        split = next((i for i, p in enumerate(own) if not _is_argument(p)), len(own))
        options = [_parameter(each, panel) for each in declared]

        @wraps(command)
        def run(**given: Any) -> None:
            texts = {name: value for name in by_name if (value := given.pop(name)) is not None}
            command(settings=converted(by_name, texts), **given)

        parameters = [*own[:split], *options, *own[split:]]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        return run

    return decorate


def converted(declared: Mapping[str, Setting], texts: Mapping[str, Any]) -> dict[str, Any]:
    """Convert what was given on the command line, and check each value by itself.

    Raises
    ------
    ConfigError
        With the setting, the value and what is allowed.
    """
    values = {
        name: declared[name].parse(value) if isinstance(value, str) else value
        for name, value in texts.items()
    }
    check(declared, values)
    return values


def unique(settings: Iterable[Setting]) -> list[Setting]:
    """Return settings of several records without repetitions; a name means the same in all of them."""
    found: dict[str, Setting] = {}
    for each in settings:
        found.setdefault(each.name, each)
    return list(found.values())


def _is_argument(parameter: inspect.Parameter) -> bool:
    metadata = getattr(parameter.annotation, "__metadata__", ())
    return any(isinstance(each, typer.models.ArgumentInfo) for each in metadata)


def _parameter(declared: Setting, panel: str | None) -> inspect.Parameter:
    flags = [declared.option]
    kind: Any = str | None
    metavar: str | None = "|".join(declared.choices) or {int: "INTEGER", float: "NUMBER"}.get(declared.type)
    if declared.type is bool:
        kind, metavar = bool | None, None
        flags = [f"{declared.option}/--no-{declared.option.removeprefix('--')}"]
    option = typer.Option(
        *flags,
        help=declared.help,
        metavar=metavar,
        rich_help_panel=declared.panel or panel,
        show_default=False,
    )
    return inspect.Parameter(
        declared.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )
