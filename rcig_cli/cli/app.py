"""The ``rcig`` command: the table of its commands, and the one place where errors are caught."""

import importlib
import json as json_format
import os
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import CompletionItem, TyperCommand, TyperGroup  # type: ignore[attr-defined]

from rcig_cli.cli.command import (
    Command,
    DebugOption,
    JsonOption,
    QuietOption,
    StoreOption,
    describe_problem,
    styled,
    write_sections,
)
from rcig_cli.errors import RcigError, is_out_of_memory
from rcig_cli.runs.signals import leave, watch_signals
from rcig_cli.store.names import NEWEST

# Name of each command -> "module:function" and the line that `rcig --help` shows.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "prepare": ("prepare:prepare", "Preprocess images and save them."),
    "distill": ("distill:distill", "Distil a data set to a few images per class."),
    "watch": ("watch:watch", "Follow the progress of a run."),
    "evaluate": ("evaluate:evaluate", "Measure the accuracy of networks trained on a distilled set."),
    "compare": ("compare:compare", "Compare the settings and accuracies of runs."),
    "mia": ("mia:mia", "Run membership inference attacks."),
    "sweep": ("sweep:sweep", "Distil and evaluate over a range of settings."),
    "continual": ("continual:continual", "Distil task by task, and test on all classes seen so far."),
    "visualize": ("visualize:visualize", "Draw a distilled set."),
    "import": ("import_:import_", "Import a distilled set made elsewhere."),
    "export": ("export:export", "Export a distilled set."),
    "push": ("push:push", "Upload a distilled set to the Hugging Face Hub."),
    "report": ("report:report", "Write an HTML report on a run, or a gallery of all runs."),
    "list": ("list:list_all", "List data sets, runs, sweeps and sequences."),
    "show": ("show:show", "Show the details of a data set, run, sweep or sequence."),
    "verify": ("verify:verify", "Check files against their recorded checksums."),
    "rm": ("rm:rm", "Delete data sets, runs, sweeps or sequences."),
    "gc": ("gc:gc", "Delete old checkpoints and temporary files."),
    "doctor": ("doctor:doctor", "Check this machine."),
}

_COMPLETING = "_RCIG_COMPLETE"  # set by the shell when it asks what to complete
_CTRL_C = 130
_STOPPED = "Stopped. Saved data sets and runs are unchanged."


class _Lazy(TyperCommand):
    """A command whose module is imported when the command is used."""

    def load(self) -> TyperCommand:
        """Import the module, and return the command with its options."""
        module, function = COMMANDS[self.name or ""][0].split(":")
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
        implementation = getattr(importlib.import_module(f"rcig_cli.cli.{module}"), function)
        single.command(self.name, cls=Command)(implementation)
        command = typer.main.get_command(single)
        assert isinstance(command, TyperCommand)
        return command

    def make_context(self, *given: Any, **options: Any) -> Any:
        """Parse the words after the command's name."""
        return self.load().make_context(*given, **options)


class _Group(TyperGroup):
    """The group of all commands."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: _Lazy(name, short_help=summary) for name, (_, summary) in COMMANDS.items()}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands and the options on the help page."""
        with formatter.section(styled("Commands")):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])
        write_sections(self.get_params(ctx), ctx, formatter)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the words before a command's name; to complete a word, only keep them."""
        if not extra.get("resilient_parsing"):
            return super().make_context(info_name, args, parent, **extra)
        return self.context_class(self, parent, info_name, obj=args, **extra)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        """Return what may be in place of an incomplete word; the words before it are in `make_context`."""
        from rcig_cli.cli.completion import candidates

        return [CompletionItem(word, help=text or None) for word, text in candidates(ctx.obj, incomplete)]


def _print_version(wanted: bool) -> None:
    if wanted:
        from rcig_cli import __version__

        print(__version__)
        raise typer.Exit


app = typer.Typer(
    name="rcig",
    cls=_Group,
    help=(
        "Distil an image data set to a few synthetic images per class, and evaluate the result.\n\n"
        "Example: rcig distill --ipc 1 && rcig evaluate run_1 && rcig visualize run_1"
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    store: StoreOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> None:
    """Declare the options before a command's name, which the command reads with `value_of`."""
    del version, store, json, quiet, debug


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its exit code.

    Parameters
    ----------
    arguments
        The words after ``rcig``; by default those of this process, which then exits with the command.
    """
    given = with_resume_value(list(sys.argv[1:] if arguments is None else arguments))
    closed = _replace_closed_streams()
    if arguments is None:
        warnings.simplefilter("ignore")  # of libraries; users see only the messages of rcig
        watch_signals(partial(_note, given), partial(_stopped, given))
    try:
        if "stdout" in closed:
            raise RcigError("stdout is closed: redirect it to a file, or to /dev/null.")
        code = app(given or ["--help"], standalone_mode=False, prog_name="rcig") or 0
        sys.stdout.flush()  # an error here, such as a full disk, is one of the command
        message = _STOPPED if code == _CTRL_C else ""  # Typer turns a KeyboardInterrupt into this code
    except KeyboardInterrupt:
        code, message = _CTRL_C, _STOPPED
    except typer.Abort:
        code, message = 1, ""
    except BrokenPipeError:  # the program that reads our output has ended
        code, message = 1, ""
    except SystemExit as ended:  # by Typer, after a completion or for a broken pipe
        code, message = int(ended.code or 0), ""
    except Exception as error:  # the one place where errors are caught
        if "--debug" in given:
            traceback.print_exc()
        code, message = _described(error)
    if message and _COMPLETING not in os.environ:
        from rcig_cli.cli.console import fail

        fail(message, code, as_json="--json" in given)
    if arguments is None:
        leave(code)  # threads may still compute
    sys.exit(code)


def _replace_closed_streams() -> list[str]:
    """Open /dev/null in place of stdin, stdout and stderr where these are closed; return which were."""
    closed = [name for name in ("stdin", "stdout", "stderr") if getattr(sys, name) is None]
    for name in closed:
        setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    return closed


def _note(given: Sequence[str], message: str) -> None:
    if not {"--quiet", "-q"} & set(given):
        with suppress(OSError):
            print(message, file=sys.stderr, flush=True)


def _stopped(given: Sequence[str], code: int) -> None:
    """Report that the command was stopped, from the thread that ends it: nothing may be imported here."""
    resume = " To resume a run that was started: rcig distill --resume RUN (see rcig list)."
    command = next((word for word in given if word in COMMANDS), "")
    message = _STOPPED + (resume if command == "distill" else "")
    with suppress(OSError):
        print(f"rcig: {message}", file=sys.stderr, flush=True)
    if "--json" in given:
        with suppress(OSError):
            print(json_format.dumps({"error": {"code": code, "message": message}}), flush=True)


def _described(error: Exception) -> tuple[int, str]:
    """Return the exit code and the message of an error."""
    if isinstance(error, RcigError):
        return error.exit_code, str(error)
    if isinstance(error, typer.TyperException):  # an unknown option, a missing value
        return 2, _usage(error)
    if is_out_of_memory(error):
        return 1, "Out of memory. Use a smaller --batch, a smaller --width or fewer images per class."
    if isinstance(error, OSError):
        reason = (error.strerror or str(error)).lower()
        return 1, f"{error.filename}: {reason}." if error.filename else f"{reason.capitalize()}."
    kind = type(error).__name__
    return 1, f"Internal error ({kind}: {error}). Run again with --debug and report the traceback."


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "rcig"
    message = describe_problem(error).rstrip(".")
    return f"{message}{'' if message.endswith('?') else '.'} See: {command} --help"


def with_resume_value(arguments: list[str]) -> list[str]:
    """Write ``--resume`` without a value as ``--resume newest``: Typer has no optional values."""
    written = []
    for argument, following in pairwise([*arguments, "-"]):
        written.append(argument)
        if argument == "--resume" and following.startswith("-"):
            written.append(NEWEST)
    return written
