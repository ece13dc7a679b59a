"""Write docs/commands.md from the commands' own help pages: ``make docs``."""

import os
from pathlib import Path

os.environ.update(NO_COLOR="1", COLUMNS="100", TERM="dumb")

from typer.testing import CliRunner

from rcig_cli.cli.app import COMMANDS, app

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


if __name__ == "__main__":
    PAGE.write_text(page())
