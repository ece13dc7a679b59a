"""Options that are derived from declared settings, those that all commands share, and the progress bar."""

import io
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from rich.console import Console as RichConsole
from rich.progress import Progress
from typer.testing import CliRunner

from rcig_cli.cli.command import Command
from rcig_cli.cli.console import Console
from rcig_cli.cli.options import Context, with_settings
from rcig_cli.settings import record, setting, settings_of


@record
class Training:
    steps: int = setting(10, "Training steps.", ge=1)
    image_lr: float = setting(0.1, "Learning rate for images.", gt=0, panel="Optimizer")
    solver: Literal["adam", "cg"] = setting("cg", "Solver.")
    flip: bool = setting(True, "Flip.")


@pytest.fixture
def invoke():
    """Run a command with the settings of `Training`; return what it received, or the output of --help."""

    def run(*arguments):
        received = {}

        @with_settings(*settings_of(Training).values(), show_defaults=True)
        def train(
            here: Context,
            run: Annotated[str, typer.Argument(metavar="RUN")],
            settings: dict[str, Any],
            fast: Annotated[bool, typer.Option("--fast", rich_help_panel="Running")] = False,
        ) -> None:
            received.update(here=here, run=run, settings=settings, fast=fast)

        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(cls=Command)(train)
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        return received or result.output

    return run


def test_only_settings_that_were_given_are_passed_converted(invoke):
    received = invoke("run_1", "--steps", "5", "--image-lr", "1e-3", "--no-flip", "--fast")
    assert received["settings"] == {"steps": 5, "image_lr": 1e-3, "flip": False}
    assert (received["run"], received["fast"]) == ("run_1", True)


def test_the_store_is_that_of_the_option_or_the_environment(invoke, monkeypatch):
    assert invoke("run_1")["here"].command("list") == "rcig list"
    assert invoke("run_1", "--store", "a b")["here"].command("list") == "rcig list --store 'a b'"
    monkeypatch.setenv("RCIG_STORE", "elsewhere")
    here = invoke("run_1")["here"]
    assert here.root == Path("elsewhere")
    assert here.command("list") == "rcig list"


def test_help_lists_options_under_their_headings(invoke):
    page = invoke("--help")
    assert page.splitlines()[0].endswith("train [OPTIONS] RUN")
    headings = re.findall(r"^(\w[\w ]*):$", page, re.MULTILINE)
    assert headings == ["Arguments", "Options", "Optimizer", "Running", "Common options"]
    assert re.search(r"^  --steps INTEGER +Training steps\. Default: 10\.$", page, re.MULTILINE)
    assert re.search(r"^  --flip / --no-flip +Flip\.$", page, re.MULTILINE)


def test_the_bar_of_a_second_run_starts_anew():
    console = Console()
    console._bar = Progress(console=RichConsole(file=io.StringIO()))
    for done in (1, 20):
        console.progress("distilling", done, 20)
    assert console._bar.tasks == []
    console.progress("distilling", 1, 20)
    (task,) = console._bar.tasks
    assert (task.completed, task.finished) == (1, False)


def test_steps_of_an_earlier_process_do_not_count_for_the_speed_of_the_progress_bar():
    now = [0.0]
    console = Console()
    console._bar = Progress(console=RichConsole(file=io.StringIO()), get_time=lambda: now[0])
    for now[0], done in ((0.0, 900), (10.0, 950), (20.0, 975)):
        console.progress("writing", done, 1000)
    (task,) = console._bar.tasks
    assert (task.completed, task.total) == (975, 1000)
    assert task.speed == 2.5
    assert task.time_remaining == 10
