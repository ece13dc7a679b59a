"""The ``rcig`` command: its verbs, and the one place where errors are caught."""

import re
import sys
import traceback
import warnings
from collections.abc import Sequence

import typer

from rcig_cli.cli import (
    compare,
    distill,
    evaluate,
    exchange,
    housekeeping,
    inspect,
    mia,
    prepare,
    report,
    sweep,
    verify,
    visualize,
)
from rcig_cli.cli.render import fail
from rcig_cli.errors import RcigError

_CTRL_C = 130
_STOPPED = "Stopped; what was there before still stands."

app = typer.Typer(
    name="rcig",
    help=(
        "Distil an image data set into a handful of synthetic images, and judge the result fairly.\n\n"
        "Example: rcig distill --ipc 1 && rcig evaluate run_1 && rcig visualize run_1"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("prepare", short_help="Make a data set ready for the rest.")(prepare.prepare)
app.command("distill", short_help="Distil it into a few images per class.")(distill.distill)
app.command("evaluate", short_help="Judge a distilled set fairly.")(evaluate.evaluate)
app.command("compare", short_help="Put runs side by side.")(compare.compare)
app.command("mia", short_help="Attack it: does it leak who was in the data?")(mia.mia)
app.command("sweep", short_help="Distil and judge over a range of settings.")(sweep.sweep)
app.command("visualize", short_help="Draw a distilled set.")(visualize.visualize)
app.command("import", short_help="Take in a distilled set made elsewhere.")(exchange.import_)
app.command("export", short_help="Hand a distilled set on.")(exchange.export)
app.command("report", short_help="Write all about a run on one HTML page.")(report.report)
app.command("list", short_help="List data sets, runs and sweeps.")(inspect.list_all)
app.command("show", short_help="Show all about a data set, run or sweep.")(inspect.show)
app.command("verify", short_help="Check that nothing is damaged.")(verify.verify)
app.command("rm", short_help="Remove data sets, runs or sweeps.")(housekeeping.rm)
app.command("gc", short_help="Remove what nobody needs any more.")(housekeeping.gc)
app.command("doctor", short_help="Check this machine.")(inspect.doctor)


@app.callback(invoke_without_command=True)
def common(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    """Handle what stands before the verb."""
    if version:
        from rcig_cli import __version__

        print(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leave with the exit code that says how it went."""
    if arguments is None:
        warnings.simplefilter("ignore")  # of libraries; what a user reads on stderr is ours
    given = with_resume_value(list(sys.argv[1:] if arguments is None else arguments))
    as_json = "--json" in given
    try:
        code = app(given or ["--help"], standalone_mode=False, prog_name="rcig") or 0
        if code == _CTRL_C:  # Typer's own reading of a KeyboardInterrupt
            fail(_STOPPED, code, as_json=as_json)
    except KeyboardInterrupt:
        code = _CTRL_C
        fail(_STOPPED, code, as_json=as_json)
    except typer.Abort:
        code = 1
    except Exception as error:  # the one place where errors end
        if "--debug" in given:
            traceback.print_exc()
        code, message = _told(error)
        fail(message, code, as_json=as_json)
    sys.exit(code)


def _told(error: Exception) -> tuple[int, str]:
    """Exit code and sentence of an error."""
    if isinstance(error, RcigError):
        return error.exit_code, str(error)
    if isinstance(error, typer.TyperException):  # an unknown option, a missing value
        return 2, _usage(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return 1, "Out of memory. Use a smaller --batch, a smaller --width or fewer images per class."
    if isinstance(error, OSError):
        return 1, f"{error}."
    kind = type(error).__name__
    return 1, f"This should not have happened ({kind}: {error}). Run again with --debug, and report it."


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    hint = f" See: {context.command_path} --help" if context is not None else " See: rcig --help"
    message = error.format_message().rstrip(".")
    return message + ("" if message.endswith("?") else ".") + hint


def with_resume_value(arguments: list[str]) -> list[str]:
    """Write a bare ``--resume`` as ``--resume newest``: its value, a run's name, may be left out."""
    written = []
    for index, argument in enumerate(arguments):
        written.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument == "--resume" and not re.fullmatch(r"newest|run_.*", following):
            written.append(distill.NEWEST)
    return written
