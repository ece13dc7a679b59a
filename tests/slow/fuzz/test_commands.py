"""Random command lines, configuration files and documents: a command succeeds or reports an error."""

import contextlib
import io
import json
import re
import shutil
from functools import cache

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rcig_cli.cli import app
from rcig_cli.errors import RcigError
from rcig_cli.presets.config import declared_settings
from rcig_cli.settings import to_toml
from tests.example_store import KILLED, make_example

CODES = {0, 1, 2, 3, 4, 5, 6}
MANIFESTS = [
    "store.json",
    "datasets/shapes/manifest.json",
    "runs/run_1/manifest.json",
    "sweeps/sweep_1/table.json",
    "sequences/sequence_1/table.json",
]
WORDS = [
    *("run_1", "run_3", KILLED, "imported", "shapes", "sweep_1", "digits", "newest", "all", "none", "batch")
]
WORDS += [
    *("rcig", "frepo", "cg", "adam", "npz", "png", "convnet", "settings.toml", "out", "out.npz", "out.png")
]
NUMBERS = ["0", "1", "-1", "2", "0.5", "1e-3", "1e400", "nan", str(2**31), "9" * 400]
# Characters that make no path outside of the test's folder, and no name that can be downloaded.
TEXT = st.text(st.characters(exclude_characters="/~\0:", exclude_categories=["Cs"]), max_size=12)
VALUES = st.sampled_from(WORDS) | st.sampled_from(NUMBERS) | TEXT.filter(lambda text: text != "..")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
SETTINGS = st.dictionaries(
    st.sampled_from([*declared_settings()]) | TEXT,
    st.sampled_from(WORDS) | st.booleans() | st.integers() | st.floats(),
    max_size=5,
)
MANY = settings(max_examples=100, suppress_health_check=list(HealthCheck))


class EnoughError(RcigError):
    """Raised where a command would begin to compute, or connect to other processes."""


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_computed():
    from rcig_cli.runs.distill import run_loop
    from rcig_cli.runs.engine import processes
    from rcig_cli.runs.evaluate import evaluate
    from rcig_cli.runs.housekeeping import doctor
    from rcig_cli.runs.membership import attack
    from rcig_cli.runs.prepare import prepare

    def enough(*_, **__):
        raise EnoughError("That is enough for this test.")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_loop, "make_engine", enough)
        patched.setattr(evaluate, "make_measurement", enough)
        patched.setattr(attack.Attacker, "__init__", enough)
        patched.setattr(processes, "_connect", enough)
        patched.setattr(doctor, "examine", enough)
        patched.setattr(prepare, "_make_content", enough)
        yield


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return make_example(tmp_path_factory.mktemp("example") / "artifacts")


@pytest.fixture
def folder(example, tmp_path, monkeypatch):
    """Make the test's folder the current one; return a function that puts a fresh store into it."""
    monkeypatch.chdir(tmp_path)

    def fresh():
        for path in tmp_path.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(example, tmp_path / "artifacts")
        return tmp_path

    return fresh


@cache
def parameters():
    """Return the parameters of every command by its name."""
    group = typer.main.get_command(app.app)
    return {name: group.commands[name].load().params for name in app.COMMANDS}


@st.composite
def command_lines(draw):
    name = draw(st.sampled_from([*app.COMMANDS]))
    words = [name]
    for parameter in draw(st.lists(st.sampled_from(parameters()[name]), max_size=5)):
        if parameter.param_type_name != "argument":
            words.append(draw(st.sampled_from([*parameter.opts, *parameter.secondary_opts])))
        if not getattr(parameter, "is_flag", False):
            words.append(draw(VALUES))
    return words


def run(words):
    """Run a command, and check what holds for each."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        app.main(words)
    code, message = ended.value.code, err.getvalue()
    assert code in CODES, message
    assert not re.search(r"Internal error|\[Errno|Exception ignored", message), message
    assert "Traceback" not in message or "--debug" in words, message
    assert code == 0 or message or out.getvalue()
    if "--json" in words and code != 0:
        assert json.loads(out.getvalue())["error"]["code"] == code


@MANY
@given(words=command_lines())
def test_random_command_lines(folder, words):
    folder()
    run(words)


@MANY
@given(
    command=st.sampled_from([["distill", "shapes", "--ipc", "1", "--config"], ["sweep"]]),
    content=st.binary(max_size=200)
    | SETTINGS.map(lambda values: to_toml(values).encode("utf-8", "replace"))
    | st.builds(lambda one, two: f"{to_toml(one)}[sweep]\n{to_toml(two)}".encode(), SETTINGS, SETTINGS),
)
def test_random_configuration_files(folder, command, content):
    (folder() / "settings.toml").write_bytes(content)
    run([*command, "settings.toml"])


@MANY
@given(
    command=st.sampled_from(
        ["list", "verify", "show run_1", "show sweep_1", "show sequence_1", "evaluate run_1", "gc --dry-run"]
    ),
    place=st.sampled_from(MANIFESTS),
    content=st.binary(max_size=200) | JSON.map(lambda document: json.dumps(document).encode()),
)
def test_random_documents_in_a_store(folder, command, place, content):
    (folder() / "artifacts" / place).write_bytes(content)
    run(command.split())
