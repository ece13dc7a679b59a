"""What all commands have in common: options before the command's name, errors, closed streams, tables."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console as RichConsole

from rcig_cli.cli.console import Console
from rcig_cli.store.store import open_store
from tests.conftest import ROOT


@pytest.fixture
def store(tmp_path):
    open_store(tmp_path / "a", create=True)
    return tmp_path / "a"


def test_common_options_may_stand_before_the_command(rcig, store, tmp_path, monkeypatch):
    monkeypatch.setenv("RCIG_STORE", str(tmp_path / "of the environment"))
    assert rcig("--store", store, "--json", "list").json["runs"] == []
    assert rcig(f"--store={store}", "list", "--json").json["runs"] == []
    assert rcig("--store", store, "-q", "list").err == ""
    assert f"Next: rcig prepare digits --store {store}" in rcig("--store", store, "list").err
    assert rcig("--json", "list").json["error"]["code"] == 3


def test_of_two_stores_the_one_after_the_command_is_used(rcig, store, tmp_path):
    assert rcig("--store", tmp_path / "none", "list", "--store", store).code == 0
    assert rcig("--store", store, "list", "--store", tmp_path / "none").code == 3


def test_short_options_for_help_and_version(rcig):
    assert rcig("-h").out == rcig("--help").out == rcig().out
    assert rcig("list", "-h").out == rcig("list", "--help").out
    assert "-h, --help" in rcig("list", "-h").out
    assert rcig("-V").out == rcig("--version").out


def test_help_pages_fit_into_80_columns(rcig, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    page = rcig("distill", "--help").out
    assert max(map(len, page.splitlines())) < 80
    assert "--algorithm NAME" in page
    assert "Method of distillation. One of rcig, cig," in page
    assert "Learning rate for alpha (SGD). Methods: mtt." in page
    assert "[x>=" not in page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lst", "No such command 'lst'. Did you mean 'list'? See: rcig --help"),
        ("--strore a list", "There is no option --strore before a command's name; did you mean --store?"),
        ("distill --stesp 3", "There is no option --stesp; did you mean --steps? See: rcig distill --help"),
        ("distill --steps ten", "--steps must be a whole number of 0 or more, not 'ten'."),
        ("distill --l2-rate=-1", "--l2-rate must be a number above 0, not -1.0."),
        ("distill --norm batsh", "--norm must be one of none, batch, instance, not 'batsh' (did you mean"),
        (
            "distill --devices two",
            "--devices must be a whole number of 1 or more, not 'two'. See: rcig distill",
        ),
        ("distill --minutes ten", "--minutes must be a number, not 'ten'."),
        ("distill --checkpoint-every 0", "--checkpoint-every must be a whole number of 1 or more, not '0'."),
        ("mia run_1 --steps 5 --steps ten", "--steps must be a whole number, not 'ten'."),
        (
            "distill shapes --ipc 1 --algorithm dm --solver cg",
            "There is no option --solver of dm; the settings",
        ),
        ("distill shapes --ipc 1 --distill-augment fip", "--distill-augment must be none, or a list of"),
        ("distill shapes --ipc 1 --factor 2", "--factor is not a setting of the parametrization raw"),
    ],
)
def test_an_error_names_the_option_as_it_was_typed(rcig, example, line, message):
    outcome = rcig("--store", example, *line.split()) if line[0] != "-" else rcig(*line.split())
    assert outcome.code == 2
    assert outcome.err.startswith(f"rcig: {message}")


def test_an_error_in_a_file_names_the_setting(rcig, example, tmp_path):
    (tmp_path / "settings.toml").write_text("l2_rate = -1\n")
    outcome = rcig(
        "distill", "shapes", "--ipc", 1, "--config", tmp_path / "settings.toml", "--store", example
    )
    assert outcome.err.startswith("rcig: l2_rate must be a number")


def command(*words):
    return [sys.executable, "-m", "rcig_cli", *map(str, words)]


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["--help"]])
def test_a_full_stdout_is_an_error(example, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command(*words),
            cwd=ROOT,
            env={**os.environ, "RCIG_STORE": str(example)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (done.returncode, done.stderr.lower()) == (1, "rcig: no space left on device.\n")


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", ">&- <&-"])
def test_a_closed_stdout_is_an_error(example, closed):
    words = ["sh", "-c", f'exec "$@" {closed}', "sh", *command("list", "--json", "--store", example)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "" if "2>" in closed else "rcig: stdout is closed: redirect it to a file, or to /dev/null.\n"
    )


@pytest.mark.parametrize("words", [["list"], ["--version"], ["show", "nothing", "--json"]])
def test_a_reader_that_has_ended_is_no_reason_to_complain(example, words):
    process = subprocess.Popen(
        command(*words, "--store", example),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait() == (3 if "nothing" in words else 1)
    assert error == "" or error.startswith("rcig: There is nothing called 'nothing'")


def shown(width, optional):
    console = Console()
    out, console.err = io.StringIO(), RichConsole(file=io.StringIO(), soft_wrap=True)
    console.out = RichConsole(file=out, width=width, soft_wrap=True)
    rows = [("run_1", "finished", "2026-11-28 10:35"), ("imported-from-elsewhere", "-", "2026-11-28 10:36")]
    console.table(("run", "status", "updated"), rows, optional=optional)
    return out.getvalue(), console.err.file.getvalue()


def test_a_narrow_terminal_shows_the_most_important_columns():
    optional = ("updated", "no such column", "status")
    assert shown(51, optional)[0].splitlines()[2].split() == [
        "imported-from-elsewhere",
        "-",
        "2026-11-28",
        "10:36",
    ]
    assert shown(51, optional)[1] == ""
    out, err = shown(50, optional)
    assert [line.split() for line in out.splitlines()] == [
        ["run", "status"],
        ["run_1", "finished"],
        ["imported-from-elsewhere", "-"],
    ]
    assert err == "Left out in this narrow terminal: updated.\n"
    assert shown(30, optional)[0].splitlines()[2].split() == ["imported-from-elsewhere"]
    assert "2026-11-28 10:36" in shown(51, ())[0]


def test_json_of_a_command_that_is_given_too_much(rcig):
    assert json.loads(rcig("--json", "list", "everything").out)["error"]["code"] == 2
