"""A run that diverges says when and what, leaves a checkpoint that is good, and goes on with a lower rate."""

import json
import os
import shutil
from dataclasses import replace

import pytest

from rcig_cli.cli.app import main
from rcig_cli.distillation.methods import METHODS
from rcig_cli.errors import ConfigError, NumericsError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.distill import distill, run_loop
from rcig_cli.runs.distill.divergence import comes_from, is_stuck, lower_rate
from rcig_cli.runs.distill.resume import resumed
from rcig_cli.store.records import write_manifest
from rcig_cli.store.store import open_store
from tests.conftest import TINY, start_rcig

STEPS = 40
RUN = ["distill", "digits", "--ipc", 1, *TINY, "--steps", STEPS]
LOWER = ["distill", "--resume", "run_1", "--image-lr", 1e-3]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    store = tmp_path_factory.mktemp("digits") / "a"
    _finish("prepare", "digits", "--store", store)
    return store


@pytest.fixture(scope="module")
def diverged(digits, tmp_path_factory):
    """A store with a run that diverged, as it was told, at step 14; not to be changed."""
    store = tmp_path_factory.mktemp("diverged") / "a"
    shutil.copytree(digits, store)
    told = iter([[]] * 13 + [["loss", "gradient"]])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_loop, "not_finite", lambda _: next(told))
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, RUN), "--checkpoint-every", "4", "--store", str(store)])
    assert stopped.value.code == 6
    return store


@pytest.fixture
def copy(diverged, tmp_path):
    return shutil.copytree(diverged, tmp_path / "a")


def _run(*arguments, **options):
    process = start_rcig(*arguments, **options)
    out, err = process.communicate()
    return process.returncode, out, err


def _finish(*arguments):
    code, out, err = _run(*arguments)
    assert code == 0, out + err


def _manifest(store):
    return json.loads((store / "runs" / "run_1" / "manifest.json").read_text())


def _log(store):
    return [
        json.loads(line) for line in (store / "runs" / "run_1" / "metrics.jsonl").read_text().splitlines()
    ]


def _checkpoints(store):
    names = (path.name for path in (store / "runs" / "run_1" / "checkpoints").iterdir())
    return sorted(int(name) for name in names if name.isdigit())


def _product(store):
    folder = store / "runs" / "run_1" / "distilled.zarr"
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("flags", "step", "first"),
    [
        (["--temperature-lr", 100], 1, "temperature"),
        (["--label-lr", 1e15], 2, "loss"),
        (["--image-lr", 1e30], 1, "pool models"),
    ],
)
def test_it_says_when_what_and_what_to_type(rcig, digits, tmp_path, flags, step, first):
    shutil.copytree(digits, tmp_path / "a")
    outcome = rcig(*RUN, *flags, "--checkpoint-every", 1, "--store", tmp_path / "a")
    assert outcome.code == 6
    assert f"run_1 diverged at step {step} (not finite: {first}" in outcome.err
    assert "the checkpoint of step 0 is intact" in outcome.err
    assert f"rcig distill --resume run_1 {flags[0]} " in outcome.err
    assert not (tmp_path / "a" / "runs" / "run_1" / "distilled.zarr").exists()
    again = outcome.err.split("To go on with a lower rate: rcig ")[1].split()
    assert rcig(*again).code == 0
    assert _manifest(tmp_path / "a")["status"] == "finished"


def test_midway_the_newest_checkpoint_stands(diverged, rcig):
    run, log = _manifest(diverged), _log(diverged)
    (divergence,) = run["divergences"]
    assert (run["status"], run["step"]) == ("failed", 12)
    assert (divergence["step"], divergence["checkpoint"]) == (14, 12)
    assert divergence["not_finite"] == ["loss", "gradient"]
    assert divergence["rates"] == {name: run["config"][name] for name in METHODS["rcig"].learning_rates}
    assert _checkpoints(diverged) == [8, 12]
    assert [row["step"] for row in log] == list(range(1, 15))
    shown = rcig("show", "run_1", "--store", diverged).out
    assert "diverged at step 14 (not finite: loss, gradient); the checkpoint of step 12" in shown
    assert rcig("verify", "--store", diverged).code == 0


def test_it_goes_on_with_a_lower_rate(copy, rcig):
    before = _log(copy)
    assert rcig(*LOWER, "--store", copy).code == 0
    run, log = _manifest(copy), _log(copy)
    assert (run["status"], run["step"]) == ("finished", STEPS)
    assert run["config"]["algorithm"]["image_lr"] == 1e-3
    assert len(run["divergences"]) == 1
    assert [row["step"] for row in log] == list(range(1, STEPS + 1))
    assert log[:12] == before[:12]
    assert log[13:14] != before[13:]  # the first step that sees an image of the new rate
    assert "since then image_lr 0.001, not 0.02" in rcig("show", "run_1", "--store", copy).out
    assert rcig("verify", "--store", copy).code == 0


def test_gone_on_with_it_may_be_stopped_like_any_other(copy, tmp_path):
    """SIGKILL after the rate is lowered: the plain line goes on, to the same bytes."""
    other = shutil.copytree(copy, tmp_path / "b")
    _finish(*LOWER, "--checkpoint-every", 3, "--store", copy)
    process = start_rcig(*LOWER, "--checkpoint-every", 3, "--store", other)
    while process.poll() is None and max(_checkpoints(other)) <= 12:
        pass
    process.kill()
    process.communicate()
    _finish("distill", "--resume", "run_1", "--store", other)
    assert _product(other) == _product(copy)
    assert _log(other) == _log(copy)


def test_what_it_goes_on_with_is_lower_rates_alone(copy, rcig):
    before = _manifest(copy)
    for flags in (["--image-lr", 1], ["--image-lr", 1e-3, "--batch", 32], ["--seed", 3], ["--l2-rate", 1]):
        outcome = rcig("distill", "--resume", "run_1", *flags, "--store", copy)
        assert outcome.code == 2, flags
        assert "lower learning rates" in outcome.err
    assert _manifest(copy) == before


def test_without_its_name_another_run_begins(copy, rcig):
    """Of this configuration from its first step: a run that had another for a while isn't that."""
    assert rcig(*LOWER, "--store", copy).code == 0
    opened = open_store(copy, create=False)
    write_manifest(opened.run_path("run_1"), replace(opened.run("run_1"), status="interrupted"))
    again = rcig(*RUN, "--image-lr", 1e-3, "--resume", "--json", "--store", copy)
    assert again.json["run"] == "run_2"


def test_where_lower_rates_fail_too_it_goes_back_further(digits, tmp_path, rcig):
    """Pool models jump so far that by step 5 one is ruined, though finite."""
    shutil.copytree(digits, tmp_path / "a")
    line = [*RUN, "--pool-lr", 20, "--seed", 2, "--checkpoint-every", 5, "--store", tmp_path / "a"]
    assert rcig(*line).code == 6
    assert _manifest(tmp_path / "a")["step"] == 5
    lower = ("distill", "--resume", "run_1", "--pool-lr", 5e-5, "--store", tmp_path / "a")
    assert rcig(*lower).code == 6
    assert _manifest(tmp_path / "a")["step"] == 0
    assert rcig(*lower).code == 0
    assert [each["checkpoint"] for each in _manifest(tmp_path / "a")["divergences"]] == [5, 0]


def test_where_nothing_helps_it_says_so(digits, tmp_path, rcig):
    shutil.copytree(digits, tmp_path / "a")
    line = [*RUN, "--label-lr", 1e15, "--image-lr", 0.1, "--checkpoint-every", 1, "--store", tmp_path / "a"]
    assert rcig(*line).code == 6
    outcome = rcig("distill", "--resume", "run_1", "--image-lr", 0.01, "--store", tmp_path / "a")
    assert outcome.code == 6
    assert "Lower learning rates did not help from there. Start a new run" in outcome.err


def test_a_product_that_is_not_finite_is_a_failure_too(digits, tmp_path, rcig, monkeypatch):
    def refuse(*_):
        raise NumericsError("The distilled images are not finite numbers, so they were not written.")

    monkeypatch.setattr(distill, "write_distilled", refuse)
    shutil.copytree(digits, tmp_path / "a")
    assert rcig(*RUN, "--store", tmp_path / "a").code == 6
    run = _manifest(tmp_path / "a")
    assert (run["status"], run["step"], run["divergences"]) == ("failed", STEPS, [])


def test_on_several_devices(digits, tmp_path):
    shutil.copytree(digits, tmp_path / "a")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags}
    line = [
        *RUN,
        "--pool-size",
        4,
        "--models",
        2,
        "--devices",
        2,
        "--temperature-lr",
        100,
        "--store",
        tmp_path / "a",
    ]
    code, _, err = _run(*line, env=environment)
    assert code == 6, err
    assert "run_1 diverged at step 1 (not finite: temperature); the checkpoint of step 0 is intact" in err


def test_the_report_has_every_line(copy, rcig):
    assert rcig(*LOWER, "--store", copy).code == 0
    assert rcig("report", "run_1", "--store", copy).code == 0
    page = (copy / "runs" / "run_1" / "figures" / "report.html").read_text()
    first = page.index("rcig distill digits --ipc 1 ")
    assert "--image-lr" not in page[first : page.index("\n", first)]
    assert page.index("rcig distill --resume run_1 --image-lr 0.001") > first


def test_a_checkpoint_is_ruled_out_by_what_follows_from_it_alone():
    assert comes_from(7, 8, ["loss", "gradient", "images"])
    assert not comes_from(7, 9, ["loss", "gradient", "images"])  # lower rates lead elsewhere
    assert not comes_from(7, 8, ["images"])  # the update, at its rate


def test_stuck_is_twice_from_the_same_checkpoint_with_other_rates():
    once = {"checkpoint": None, "rates": {"image_lr": 1}}
    lower = {"checkpoint": None, "rates": {"image_lr": 0.1}}
    assert not is_stuck([once])
    assert not is_stuck([once, once])
    assert is_stuck([once, lower])
    assert not is_stuck([once, {**lower, "checkpoint": 3}])


def test_the_rate_to_lower():
    usual = {"image_lr": 0.003, "label_lr": 0.002, "temperature_lr": 0.03, "pool_lr": 1e-4}
    record = {"not_finite": ["loss", "images"], "rates": usual}
    assert lower_rate(record, usual) == {"image_lr": 0.0009}
    assert lower_rate({**record, "not_finite": ["temperature"]}, usual) == {"temperature_lr": 0.009}
    above = {**usual, "image_lr": 0.006, "label_lr": 2.0}
    assert lower_rate({**record, "rates": above}, usual) == {"label_lr": 0.002}


def test_a_run_of_a_sweep_keeps_its_settings(diverged):
    run = open_store(diverged, create=False).run("run_1")
    of_a_sweep = replace(run, parents={**run.parents, "sweep": run.parents["dataset"]})
    lower = {"image_lr": 1e-3}
    assert DistillConfig.from_json(resumed(run, lower).config).method.image_lr == 1e-3
    with pytest.raises(ConfigError, match="settings of a sweep's run can't be changed"):
        resumed(of_a_sweep, lower)
