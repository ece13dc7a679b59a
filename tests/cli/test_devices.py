"""An environment that JAX can't satisfy ends every command in one sentence, before a run is made."""

import json
import os

import jax
import pytest

import rcig_cli
from rcig_cli.runs.engine import environment
from rcig_cli.store.store import open_store
from tests.conftest import TINY, start_rcig


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_distill_without_the_platform_that_is_asked_for(platform, tmp_path):
    """JAX itself raises an AssertionError for "cuda" and a RuntimeError for others."""
    rcig_cli.prepare("digits", store=tmp_path)
    process = start_rcig(
        *("distill", "--ipc", 1, *TINY, "--store", tmp_path, "--json"),
        env={**os.environ, "JAX_PLATFORMS": platform},
    )
    out, err = process.communicate()
    assert process.returncode == json.loads(out)["error"]["code"] == 2
    assert err.count("\n") == 1
    assert f"JAX finds no device for JAX_PLATFORMS={platform}" in err
    assert "Unset this variable" in err
    assert not open_store(tmp_path, create=False).runs().found


def test_doctor_reports_a_missing_platform_as_a_problem():
    process = start_rcig("doctor", "--json", env={**os.environ, "JAX_PLATFORMS": "cuda"})
    findings = json.loads(process.communicate()[0])
    assert process.returncode == 1
    assert findings["devices"] == []
    assert findings["versions"]["jax"] == jax.__version__
    assert "JAX finds no device for JAX_PLATFORMS=cuda" in findings["problem"]


def test_a_value_that_jax_does_not_accept(digits_run):
    """JAX raises a ValueError when it is imported, also by commands that only draw."""
    variables = {**os.environ, "JAX_THREEFRY_PARTITIONABLE": "perhaps"}
    process = start_rcig("doctor", "--json", env=variables)
    findings = json.loads(process.communicate()[0])
    assert process.returncode == 1
    assert "'perhaps'" in findings["problem"]
    assert "Correct or unset it" in findings["problem"]
    process = start_rcig("visualize", "run_1", "--grid", "--store", digits_run, env=variables)
    assert "'perhaps'" in process.communicate()[1]
    assert process.returncode == 2


@pytest.fixture
def no_device(monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'cuda': no driver (set JAX_PLATFORMS='')")

    monkeypatch.setattr(jax, "devices", devices)


SWEEP = "dataset = 'digits'\nipc = 1\n[[sweep]]\nseed = [1, 2]\n"
COMMANDS = {
    "distill": ["distill", "digits", "--ipc", 1],
    "resume": ["distill", "--resume", "run_1"],
    "evaluate": ["evaluate", "run_1"],
    "mia": ["mia", "run_1"],
    "sweep": ["sweep", "sweep.toml"],
    "import": ["import", "set.npz", "--dataset", "digits"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
@pytest.mark.usefixtures("no_device")
def test_every_command_that_computes_checks_the_device_first(
    rcig, command, digits_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    before = sorted(digits_run.rglob("*"))
    outcome = rcig(*command, "--store", digits_run)
    assert outcome.code == 2, outcome.err
    assert outcome.err.count("\n") == 1
    assert "no driver" in outcome.err
    assert sorted(digits_run.rglob("*")) == before


@pytest.mark.usefixtures("no_device")
def test_so_do_the_functions_of_the_library(digits_run):
    before = sorted(digits_run.rglob("*"))
    for function in (rcig_cli.evaluate, rcig_cli.attack):
        with pytest.raises(rcig_cli.ConfigError, match="no driver"):
            function("run_1", store=digits_run)
    with pytest.raises(rcig_cli.ConfigError, match="no driver"):
        rcig_cli.distill("digits", ipc=1, store=digits_run)
    with pytest.raises(rcig_cli.ConfigError, match="no driver"):
        rcig_cli.import_set("set.npz", "digits", store=digits_run)
    assert sorted(digits_run.rglob("*")) == before


def test_a_run_that_ended_in_an_unexpected_error_is_not_running(rcig, tmp_path, monkeypatch):
    rcig_cli.prepare("digits", store=tmp_path)

    def broken(*_):
        raise AssertionError

    monkeypatch.setattr("rcig_cli.runs.distill.run_loop.make_engine", broken)
    assert rcig("distill", "--ipc", 1, *TINY, "--store", tmp_path).code == 1
    assert rcig("list", "--json", "--store", tmp_path).json["runs"][0]["status"] == "interrupted"
    assert rcig_cli.load("run_1", store=tmp_path).status == "interrupted"


def test_resuming_as_if_on_another_machine_and_at_another_commit_is_told(rcig, tmp_path, monkeypatch):
    rcig_cli.prepare("digits", store=tmp_path)
    run = ["distill", "--ipc", 1, *TINY, "--store", tmp_path]

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rcig_cli.runs.distill.run_loop.RunLoop.restore_or_start", stop)
    monkeypatch.setattr("rcig_cli.runs.distill.distill.commit", lambda: "111111111111")
    rcig(*run)
    manifest = open_store(tmp_path, create=False).run("run_1")
    assert manifest.machine["device"] == "cpu"
    assert manifest.machine["processors"] == str(environment.processors())
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr("rcig_cli.runs.distill.distill.commit", lambda: "222222222222")
    outcome = rcig(*run, "--resume")
    assert "run_1 resumes" in outcome.err
    assert "It was started at commit 111111111111 of rcig, and goes on at 222222222222." in outcome.err
    assert "started with another device, processor or environment (device cpu, " in outcome.err
