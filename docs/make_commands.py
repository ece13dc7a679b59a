"""Write what follows from the commands' options: ``make docs``.

docs/commands.md has their help pages, and rcig_cli/cli/completion.json what the shell completes.
"""

import json
import os
import textwrap
from pathlib import Path
from typing import Any

os.environ.update(NO_COLOR="1", COLUMNS="100", TERM="dumb")

import typer
from typer.testing import CliRunner

from rcig_cli.cli.app import COMMANDS, app
from rcig_cli.cli.completion import KINDS, TABLE
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.extensions import METAVAR
from rcig_cli.runs.prepare.prepare import EMBEDDED

PAGE = Path(__file__).parent / "commands.md"
HEAD = "# Commands\n\nGenerated from the help pages by `make docs`; a test checks that it is up to date.\n"


def page() -> str:
    """Return the reference page: a section for each command with its help page."""
    runner = CliRunner()
    sections = []
    for name in COMMANDS:
        shown = runner.invoke(app, [name, "--help"], prog_name="rcig", terminal_width=100)
        text = "\n".join(line.rstrip() for line in shown.output.strip().splitlines())
        sections.append(f"\n## rcig {name}\n\n```text\n{text}\n```\n")
    return HEAD + "".join(sections)


def completions() -> str:
    """Return the commands' options and arguments as JSON; "" has the options before a command's name."""
    group: Any = typer.main.get_command(app)
    commands = {"": group, **{name: command.load() for name, command in group.commands.items()}}
    blocks = []
    for name, command in commands.items():
        context = command.make_context(name, [], resilient_parsing=True)
        parameters = command.get_params(context)
        arguments = [each for each in parameters if each.param_type_name == "argument"]
        about = {
            "help": COMMANDS[name][1] if name else "",
            "arguments": _arguments(name, arguments),
            "several": any(each.nargs == -1 for each in arguments),
        }
        options = {
            flag: {"help": _sentence(each), "values": None if each.is_flag else _values(each)}
            for each in parameters
            if each not in arguments
            for flag in (*each.opts, *each.secondary_opts)
        }
        lines = ",\n".join(f"  {json.dumps(flag)}: {json.dumps(each)}" for flag, each in options.items())
        blocks.append(f'{json.dumps(name)}: {json.dumps(about)[:-1]}, "options": {{\n{lines}\n}}}}')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def _arguments(command: str, arguments: list[Any]) -> str | list[str]:
    """Return what `_values` does for the first argument of a command, if it has one."""
    if command == "prepare":
        return [EMBEDDED, *KNOWN]
    return _values(arguments[0]) if arguments else []


def _values(parameter: Any) -> str | list[str]:
    """Return the choices for a value, or what it stands for in `KINDS`, or "" for anything else."""
    metavar = (parameter.metavar or "").strip("[].")
    if "|" in metavar and "=" not in metavar:
        return [choice for choice in metavar.split("|") if choice != METAVAR]
    return metavar if metavar in KINDS else ""


def _sentence(parameter: Any) -> str:
    """Return the first sentence of a help text, or as much of it as fits beside an option."""
    return textwrap.shorten(str(parameter.help).partition(". ")[0].rstrip("."), 70, placeholder=" ...")


if __name__ == "__main__":
    PAGE.write_text(page())
    TABLE.write_text(completions())
