"""The ``rcig`` command: the table of its commands, and the one place where errors are caught."""

import importlib
import json
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from rcig_cli.errors import RcigError
from rcig_cli.runs.signals import leave, watch_signals

# Name of each command -> "module:function" and the line that `rcig --help` shows.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "prepare": ("prepare:prepare", "Preprocess images and save them."),
    "distill": ("distill:distill", "Distil a data set to a few images per class."),
    "evaluate": ("evaluate:evaluate", "Measure the accuracy of networks trained on a distilled set."),
    "compare": ("compare:compare", "Compare the settings and accuracies of runs."),
    "mia": ("mia:mia", "Run membership inference attacks."),
    "sweep": ("sweep:sweep", "Distil and evaluate over a range of settings."),
    "continual": ("continual:continual", "Distil task by task, and test on all classes seen so far."),
    "visualize": ("visualize:visualize", "Draw a distilled set."),
    "import": ("import_:import_", "Import a distilled set made elsewhere."),
    "export": ("export:export", "Export a distilled set."),
    "report": ("report:report", "Write an HTML report on a run, or a gallery of all runs."),
    "list": ("list:list_all", "List data sets, runs, sweeps and sequences."),
    "show": ("show:show", "Show the details of a data set, run, sweep or sequence."),
    "verify": ("verify:verify", "Check files against their recorded checksums."),
    "rm": ("rm:rm", "Delete data sets, runs, sweeps or sequences."),
    "gc": ("gc:gc", "Delete old checkpoints and temporary files."),
    "doctor": ("doctor:doctor", "Check this machine."),
}

_CTRL_C = 130
_STOPPED = "Stopped. Saved data sets and runs are unchanged."


# Typer writes types such as <int range> and <list[str]>.
_TYPE = re.compile(r"<(?:list\[)?(int|float|str|path)(?: range)?\]?>")
_METAVARS = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT", "path": "PATH"}


class Command(TyperCommand):
    """A command whose help page lists options under the headings that they name."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Write a required argument as ``RUN`` and several as ``RUN...``, without Typer's braces."""
        return [re.sub(r"\{(.+?)(\.\.\.)?\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section per heading, in the order in which the headings first appear."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is None:
                continue
            if parameter.param_type_name == "argument":
                heading, usage = "Arguments", _TYPE.sub("", record[0]).rstrip()
            else:
                usage = _TYPE.sub(lambda match: _METAVARS[match[1]], record[0])
                heading = "Common options" if parameter.name == "help" else "Options"
            panel = getattr(parameter, "rich_help_panel", None)
            sections.setdefault(panel or heading, []).append((usage, record[1]))
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class _Commands(Mapping[str, Any]):
    """The commands by name; each one's module is imported when the command is looked up."""

    def __getitem__(self, name: str) -> Any:
        module, function = COMMANDS[name][0].split(":")
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        implementation = getattr(importlib.import_module(f"rcig_cli.cli.{module}"), function)
        single.command(name, cls=Command)(implementation)
        return typer.main.get_command(single)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Group(TyperGroup):
    """The group of all commands; its help page imports none of them."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Return the names of the commands, in the order of the help page."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write the section "Commands" of the help page."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])


app = typer.Typer(
    name="rcig",
    cls=_Group,
    help=(
        "Distil an image data set to a few synthetic images per class, and evaluate the result.\n\n"
        "Example: rcig distill --ipc 1 && rcig evaluate run_1 && rcig visualize run_1"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def common(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Handle the options before the command's name."""
    if version:
        from rcig_cli import __version__

        print(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its exit code.

    Parameters
    ----------
    arguments
        The words after ``rcig``; by default those of this process, which then exits with the command.
    """
    given = with_resume_value(list(sys.argv[1:] if arguments is None else arguments))
    if arguments is None:
        warnings.simplefilter("ignore")  # of libraries; users see only the messages of rcig
        watch_signals(partial(_note, given), partial(_stopped, given))
    try:
        code = app(given or ["--help"], standalone_mode=False, prog_name="rcig") or 0
        sys.stdout.flush()  # an error here, such as a full disk, is one of the command
        message = _STOPPED if code == _CTRL_C else ""  # Typer turns a KeyboardInterrupt into this code
    except KeyboardInterrupt:
        code, message = _CTRL_C, _STOPPED
    except typer.Abort:
        code, message = 1, ""
    except Exception as error:  # the one place where errors are caught
        if "--debug" in given:
            traceback.print_exc()
        code, message = _described(error)
    if message:
        from rcig_cli.cli.console import fail

        fail(message, code, as_json="--json" in given)
    if arguments is None:
        leave(code)  # threads may still compute
    sys.exit(code)


def _note(given: Sequence[str], message: str) -> None:
    if not {"--quiet", "-q"} & set(given):
        print(message, file=sys.stderr, flush=True)


def _stopped(given: Sequence[str], code: int) -> None:
    """Report that the command was stopped, from the thread that ends it: nothing may be imported here."""
    resume = " To resume a run that was started: rcig distill --resume RUN (see rcig list)."
    message = _STOPPED + (resume if given[:1] == ["distill"] else "")
    print(f"rcig: {message}", file=sys.stderr, flush=True)
    if "--json" in given:
        print(json.dumps({"error": {"code": code, "message": message}}), flush=True)


def _described(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message of an error."""
    if isinstance(error, RcigError):
        return error.exit_code, str(error)
    if isinstance(error, typer.TyperException):  # an unknown option, a missing value
        return 2, _usage(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return 1, "Out of memory. Use a smaller --batch, a smaller --width or fewer images per class."
    if isinstance(error, OSError):
        return 1, f"{error}."
    kind = type(error).__name__
    return 1, f"Internal error ({kind}: {error}). Run again with --debug and report the traceback."


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "rcig"
    message = error.format_message().rstrip(".")
    return f"{message}{'' if message.endswith('?') else '.'} See: {command} --help"


def with_resume_value(arguments: list[str]) -> list[str]:
    """Write ``--resume`` without a run's name as ``--resume newest``: Typer has no optional values."""
    if "--resume" not in arguments:
        return arguments
    from rcig_cli.runs.distill.resume import NEWEST

    written = []
    for index, argument in enumerate(arguments):
        written.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument == "--resume" and not re.fullmatch(rf"{NEWEST}|run_.*", following):
            written.append(NEWEST)
    return written
