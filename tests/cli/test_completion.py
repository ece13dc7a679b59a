"""What the shell completes, as it asks, and how quickly."""

import os
import resource
import subprocess
import sys

import pytest

from rcig_cli.cli.completion import candidates
from tests.conftest import ROOT


@pytest.fixture
def of_example(example, monkeypatch):
    monkeypatch.setenv("RCIG_STORE", str(example))

    def complete(line):
        *words, incomplete = line.split(" ")
        return [word for word, _ in candidates(words, incomplete)]

    return complete


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("e", ["evaluate", "export"]),
        ("--js", ["--json"]),
        ("-q list --qu", ["--quiet"]),
        ("distill --ste", ["--steps", "--step-size", "--step-size-lr"]),
        ("distill --no-f", ["--no-flip"]),
        ("distill --solver ", ["adam", "cg"]),
        ("distill --solver = c", ["cg"]),
        ("distill --solver=c", ["--solver=cg"]),
        ("distill ", ["shapes"]),
        ("distill --seed 3 sh", ["shapes"]),
        ("distill shapes ", []),
        ("distill --resume run_2", ["run_2"]),
        ("evaluate imp", ["imported"]),
        ("visualize run_1 --compare run_5", ["run_5"]),
        ("import set.npz --dataset ", ["shapes"]),
        ("import ", []),
        ("rm run_1 run_2 run_", ["run_3", "run_4", "run_5", "run_6", "run_7"]),
        ("show se", ["sequence_1"]),
        ("prepare cifar", ["cifar10", "cifar100"]),
        ("list --store ", []),
        ("frobnicate run", []),
    ],
)
def test_candidates(of_example, line, expected):
    assert of_example(line) == expected


@pytest.mark.parametrize("line", ["--store {} show run_3", "show --store {} run_3", "show --store={} run_3"])
def test_names_are_those_of_the_store_in_effect(example, tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    *words, incomplete = line.format(example).split(" ")
    assert [word for word, _ in candidates(words, incomplete)] == ["run_3"]
    assert candidates(["show"], "run_3") == []
    assert candidates(["--store", str(example), "show", "--store", str(tmp_path)], "run_3") == []


CODE = (
    "import sys, atexit; from rcig_cli.cli.app import main\n"
    "heavy = {'jax', 'numpy', 'pydantic', 'zarr', 'rcig_cli.cli.show', 'rcig_cli.cli.distill'}\n"
    "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
    "main([])"
)


def ask(shell, line, store):
    words = line.split(" ")
    asked = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    variables = {**os.environ, "RCIG_STORE": str(store), "_RCIG_COMPLETE": f"complete_{shell}", **asked}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=variables, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor, since other programs on the machine would prolong the time that passes.
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("line", ["rcig show run_1", "rcig distill --image-l"])
def test_a_shell_gets_an_answer_in_less_than_half_a_second(example, shell, line):
    done, seconds = ask(shell, line, example)
    assert ("run_1" if "show" in line else "--image-lr") in done.stdout
    assert done.stderr == "[]\n"
    assert done.returncode == 0
    if "show" in line or shell == "bash":  # Typer imports Rich for the help texts of the others
        assert seconds < 0.5 or min(ask(shell, line, example)[1] for _ in range(4)) < 0.5


def test_where_nothing_can_be_read_nothing_is_printed(tmp_path):
    (tmp_path / "runs").write_text("not a folder")
    for store in (tmp_path, tmp_path / "none", "/dev/null"):
        done, _ = ask("bash", "rcig show r", store)
        assert (done.stdout.strip(), done.stderr) == ("", "[]\n")
    done, _ = ask("bash", "rcig show 'unfinished", tmp_path)
    assert (done.stdout.strip(), done.stderr) == ("", "[]\n")


def test_the_script_is_installed_for_bash(tmp_path):
    variables = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    command = [sys.executable, "-m", "rcig_cli", "--install-completion", "bash"]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0
    script = (tmp_path / ".bash_completions" / "rcig.sh").read_text()
    assert "_RCIG_COMPLETE=complete_bash" in script
    assert "rcig.sh" in (tmp_path / ".bashrc").read_text()
    command[-2] = "--show-completion"
    assert (
        "_RCIG_COMPLETE"
        in subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True).stdout
    )
