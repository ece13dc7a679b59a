"""Shared fixtures: JAX configured as commands configure it, a compilation cache, commands, a finished run."""

import gc
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import hypothesis
import platformdirs
import pytest

from rcig_cli.runs.engine.environment import pin, prepare_environment, prepare_jax
from tests import quick

ROOT = Path(__file__).resolve().parent.parent

# A background job of a shell ignores Ctrl-C, and the commands that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# JAX makes many objects while it traces; looking for garbage among them would take a sixth of the time.
gc.set_threshold(200_000, 50, 100)

prepare_environment()
os.environ["NO_COLOR"] = "1"

# A deadline would fail on a busy machine.
hypothesis.settings.register_profile("rcig", deadline=None)
hypothesis.settings.load_profile("rcig")
# What was compiled is kept in the user's cache folder, where other checkouts find it too.
os.environ.setdefault("RCIG_COMPILATION_CACHE", platformdirs.user_cache_dir("rcig") + "/compiled-tests")
prepare_jax()
pin()
quick.start_xla()

# Options of `rcig distill` for the smallest useful network and inner problem.
TINY = ["--width", "4", "--batch", "64", "--pool-size", "3", "--pool-steps", "3", "--inner-steps", "2"]
TINY += ["--hessian-steps", "2"]


@pytest.fixture
def float64():
    """Run a test in float64."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def _clear_compiled_programs():
    """Free compiled programs after each file: they would take gigabytes by the end."""
    yield
    if "jax" in sys.modules:
        import jax

        jax.clear_caches()


class Outcome:
    """The exit code, stdout and stderr of a command."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        """The object that the command printed on stdout."""
        return json.loads(self.out)


@pytest.fixture
def rcig(capsys):
    """Run a command in this process; return its outcome."""

    def run(*arguments):
        capsys.readouterr()
        code = exit_code(*arguments)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def exit_code(*arguments):
    """Run a command in this process; return its exit code."""
    from rcig_cli.cli.app import main

    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


def run_rcig(*arguments):
    """Run a command in this process for a fixture of a module; return its outcome."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = exit_code(*arguments)
    return Outcome(code, out.getvalue(), err.getvalue())


def start_rcig(*arguments, **options):
    """Start a command in a new process."""
    command = [sys.executable, ROOT / "tests" / "quick.py", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """Return a store with digits and one finished tiny run, `run_1`, which tests must not change."""
    store = tmp_path_factory.mktemp("digits") / "artifacts"
    made = run_rcig("distill", "--ipc", 1, *TINY, "--steps", 6, "--store", store)
    assert made.code == 0, made.err
    return store
