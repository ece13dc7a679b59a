"""What all commands have in common: options, which may stand before a command's name too, and help pages."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rcig_cli.errors import shorten

COMMON = "Common options"  # the heading

StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="RCIG_STORE",
        help="Folder of the store. Default: artifacts, here or in the nearest folder above that has it.",
        rich_help_panel=COMMON,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=COMMON)
]
QuietOption = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Print no progress and no messages on stderr.", rich_help_panel=COMMON
    ),
]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=COMMON)
]

# Typer writes types such as <int range> and <list[str]>, and bounds such as [x>=1].
_TYPE = re.compile(r"<(?:list\[)?(int|float|str|path)(?: range)?\]?>")
_METAVARS = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT", "path": "PATH"}
_NUMBERS: Mapping[Any, type] = {int: int, list[int]: int, float: float, list[float]: float}
_BOUNDS = re.compile(r"(?:; )?(?:[\d.]+<=)?x[<>]=[\d.]+")

_LONGEST_USAGE = 58  # characters of an option and its choices; longer lists are written as sentences
_COLUMN = 30  # characters of the column of options, at most


def value_of(context: typer.Context, name: str) -> Any:
    """Return the value of a common option: as given after the command's name, or else before it."""
    before = context.parent
    if before is not None and not _was_typed(context, name) and _was_typed(before, name):
        return before.params[name]
    return context.params[name]


def _was_typed(context: Any, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


class Command(TyperCommand):
    """A command whose help page lists options under the headings that they name."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write a required argument as ``RUN`` and several as ``RUN...``, without Typer's braces."""
        return [re.sub(r"\{(.+?)(\.\.\.)?\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the sections of the help page."""
        write_sections(self.get_params(ctx), ctx, formatter)


def write_sections(parameters: Iterable[Any], context: Any, formatter: Any) -> None:
    """Write one section per heading, in the order in which the headings first appear."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in parameters:
        record = parameter.get_help_record(context)
        if record is None:
            continue
        if parameter.param_type_name == "argument":
            heading, usage, text = "Arguments", _TYPE.sub("", record[0]).rstrip(), record[1]
        else:
            heading = COMMON if parameter.name == "help" else "Options"
            usage, text = _option_record(parameter, *record)
        panel = getattr(parameter, "rich_help_panel", None)
        sections.setdefault(panel or heading, []).append((usage, text))
    widest = min(_COLUMN, formatter.width * 2 // 5)
    widths = [len(usage) for records in sections.values() for usage, _ in records]
    column = max((width for width in widths if width <= widest), default=0)
    for heading, records in sections.items():
        with formatter.section(styled(heading)):
            formatter.write_dl([(usage.ljust(column), text) for usage, text in records], col_max=column)


def styled(heading: str) -> str:
    """Return the heading of a section of a help page, in bold unless the user asks for plain text."""
    return heading if os.environ.get("NO_COLOR") else typer.style(heading, bold=True)


def _option_record(option: Any, usage: str, text: str) -> tuple[str, str]:
    """Return an option with what stands for its value, and its help text, in plain words."""
    usage, text = (
        _TYPE.sub(lambda match: _METAVARS[match[1]], usage),
        _BOUNDS.sub("", text).removesuffix("  []"),
    )
    choices = option.metavar or ""
    if "|" in choices and len(usage) > _LONGEST_USAGE:
        text = f"{text} One of {choices.replace('|', ', ')}."
        usage = usage.replace(choices, "NAME")
    return usage, text


def describe_problem(error: Any) -> str:
    """Return what is wrong with a command line, of an error by Typer."""
    option = getattr(error, "option_name", "")
    if hasattr(error, "possibilities"):  # an unknown option
        place = " before a command's name" if error.ctx is not None and error.ctx.parent is None else ""
        near = f"; did you mean {error.possibilities[0]}?" if error.possibilities else "."
        return f"There is no option {option}{place}{near}"
    parameter: Any = getattr(error, "param", None)
    refused = getattr(error.__cause__, "errors", None)
    number = _NUMBERS.get(parameter.type_descriptor.annotation) if parameter is not None else None
    if number is None or refused is None:
        return str(error.format_message())
    from rcig_cli.settings import allowed_number

    while "error" in (context := refused()[0].get("ctx", {})) and hasattr(context["error"], "errors"):
        refused = context["error"].errors  # of one value of several
    bounds = {"ge": parameter.min, "le": parameter.max}
    allowed = allowed_number(number, {kind: limit for kind, limit in bounds.items() if limit is not None})
    return f"{parameter.opts[0]} must be {allowed}, not {shorten(refused()[0]['input'])}."
