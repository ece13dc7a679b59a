"""What tests share: JAX set up as the product sets it up, float64, a compilation cache, and the command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

from rcig_cli.runs.engine.environment import prepare_environment, prepare_jax

ROOT = Path(__file__).resolve().parent.parent

# A shell's background job ignores Ctrl-C, and every command started here would, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

prepare_environment()
os.environ["NO_COLOR"] = "1"

# A deadline would measure how busy the machine is.
hypothesis.settings.register_profile("rcig", deadline=None)
hypothesis.settings.load_profile("rcig")
# Nearly all of the suite's time is compiling: tests run fewer of XLA's optimizations than the product does.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("RCIG_COMPILATION_CACHE", str(ROOT / ".cache" / "compiled"))
prepare_jax()

# A network and a run so small that compiling it is the work.
TINY = ["--width", "4", "--batch", "64", "--pool-size", "3", "--pool-steps", "3", "--inner-steps", "2"]
TINY += ["--hessian-steps", "2"]


@pytest.fixture
def float64():
    """Run a test in float64."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def _forget_what_was_compiled():
    """Compiled programs would stay in memory, gigabytes by the end, and slow the garbage collector down."""
    yield
    if "jax" in sys.modules:
        import jax

        jax.clear_caches()


class Outcome:
    """What a command left behind."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        """The one object on stdout."""
        return json.loads(self.out)


@pytest.fixture
def rcig(capsys):
    """Run a command in this process; return its outcome."""
    from rcig_cli.cli.app import main

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(stopped.value.code, captured.out, captured.err)

    return run


def start_rcig(*arguments, **options):
    """Start a command as a process of its own, as a user does."""
    command = [sys.executable, "-m", "rcig_cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A store with digits and one finished tiny run, `run_1`; not to be changed."""
    store = tmp_path_factory.mktemp("digits") / "artifacts"
    process = start_rcig("distill", "--ipc", 1, *TINY, "--steps", 6, "--store", store)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    return store
