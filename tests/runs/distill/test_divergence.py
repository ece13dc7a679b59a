"""A run that diverges reports when and what, keeps a good checkpoint, and is resumed with a lower rate."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rcig_cli.cli.app import main
from rcig_cli.distillation.methods import METHODS
from rcig_cli.errors import ConfigError, NumericsError
from rcig_cli.presets.config import DistillConfig
from rcig_cli.runs.distill import distill, run_loop
from rcig_cli.runs.distill.divergence import Diverged, comes_from, is_stuck, lower_rate
from rcig_cli.runs.distill.group import RunGroup
from rcig_cli.runs.distill.resume import resumed
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.runs.sweep.table import keys_of
from rcig_cli.store.documents import canonical
from rcig_cli.store.records import write_manifest
from rcig_cli.store.store import open_store
from tests.conftest import TINY
from tests.silent import Silent

STEPS = 20
RUN = ["distill", "digits", "--ipc", 1, *TINY, "--steps", STEPS]
LOWER = ["distill", "--resume", "run_1", "--image-lr", 1e-3]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    store = tmp_path_factory.mktemp("digits") / "a"
    prepare(open_store(store, create=True), "digits", report=Silent())
    return store


@pytest.fixture(scope="module")
def diverged(digits, tmp_path_factory):
    """A store with a run that was made to diverge at step 14; tests copy it."""
    store = tmp_path_factory.mktemp("diverged") / "a"
    shutil.copytree(digits, store)
    found = iter([[]] * 13 + [["loss", "gradient"]])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_loop, "not_finite", lambda _: next(found))
        with pytest.raises(SystemExit) as stopped:
            main([*map(str, RUN), "--checkpoint-every", "4", "--store", str(store)])
    assert stopped.value.code == 6
    return store


@pytest.fixture(scope="module")
def lowered(diverged, tmp_path_factory):
    """The same store after the run was resumed with a lower learning rate, and finished; tests copy it."""
    store = shutil.copytree(diverged, tmp_path_factory.mktemp("lowered") / "a")
    with pytest.raises(SystemExit) as stopped:
        main([*map(str, LOWER), "--store", str(store)])
    assert stopped.value.code == 0
    return store


@pytest.fixture
def copy(diverged, tmp_path):
    return shutil.copytree(diverged, tmp_path / "a")


def manifest_of(store):
    return json.loads((store / "runs" / "run_1" / "manifest.json").read_text())


def log_of(store):
    lines = (store / "runs" / "run_1" / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("options", "step", "first"),
    [
        (["--temperature-lr", 100], 1, "temperature"),
        (["--label-lr", 1e15], 2, "loss"),
        (["--image-lr", 1e30], 1, "pool models"),
    ],
)
def test_the_error_names_the_step_the_values_and_the_command_that_resumes(
    rcig, digits, tmp_path, options, step, first
):
    store = shutil.copytree(digits, tmp_path / "a")
    outcome = rcig(*RUN, *options, "--checkpoint-every", 1, "--store", store)
    assert outcome.code == 6
    assert f"run_1 diverged at step {step} (not finite: {first}" in outcome.err
    assert "the checkpoint of step 0 is intact" in outcome.err
    assert not (store / "runs" / "run_1" / "distilled.zarr").exists()
    again = outcome.err.split("To resume with a lower learning rate: rcig ")[1].split()
    assert again[:4] == ["distill", "--resume", "run_1", options[0]]
    if first == "temperature":
        assert rcig(*again).code == 0
        assert manifest_of(store)["status"] == "finished"


def test_the_newest_checkpoint_is_kept(diverged, rcig):
    run, log = manifest_of(diverged), log_of(diverged)
    (divergence,) = run["divergences"]
    assert (run["status"], run["step"]) == ("failed", 12)
    assert (divergence["step"], divergence["checkpoint"]) == (14, 12)
    assert divergence["not_finite"] == ["loss", "gradient"]
    assert divergence["rates"] == {name: run["config"][name] for name in METHODS["rcig"].learning_rates}
    checkpoints = diverged / "runs" / "run_1" / "checkpoints"
    assert {path.name for path in checkpoints.iterdir()} == {"8", "12"}
    assert [row["step"] for row in log] == list(range(1, 15))
    shown = rcig("show", "run_1", "--store", diverged).out
    assert "diverged at step 14 (not finite: loss, gradient); the checkpoint of step 12" in shown
    assert rcig("verify", "--store", diverged).code == 0


def test_it_is_resumed_with_a_lower_rate(diverged, lowered, rcig):
    run, before, log = manifest_of(lowered), log_of(diverged), log_of(lowered)
    assert (run["status"], run["step"]) == ("finished", STEPS)
    assert run["config"]["image_lr"] == 1e-3
    assert len(run["divergences"]) == 1
    assert [row["step"] for row in log] == list(range(1, STEPS + 1))
    assert log[:12] == before[:12]
    assert log[13:14] != before[13:]  # the first step on images that the new rate has changed
    assert "since then image_lr 0.001, not 0.02" in rcig("show", "run_1", "--store", lowered).out
    assert rcig("verify", "--store", lowered).code == 0


def test_it_can_be_resumed_with_lower_learning_rates_only(copy, rcig):
    before = manifest_of(copy)
    for options in (["--image-lr", 1], ["--image-lr", 1e-3, "--batch", 32], ["--seed", 3], ["--l2-rate", 1]):
        outcome = rcig("distill", "--resume", "run_1", *options, "--store", copy)
        assert outcome.code == 2, options
        assert "lower learning rates" in outcome.err
    assert manifest_of(copy) == before


def test_a_run_whose_rates_were_lowered_is_resumed_by_name_only(lowered, rcig, tmp_path):
    """Its settings are those of another run for a part of its steps."""
    store = shutil.copytree(lowered, tmp_path / "a")
    opened = open_store(store, create=False)
    write_manifest(opened.run_path("run_1"), replace(opened.run("run_1"), status="interrupted"))
    again = rcig(*RUN, "--image-lr", 1e-3, "--resume", "--json", "--store", store)
    assert again.json["run"] == "run_2"


def test_a_run_whose_rates_were_lowered_is_not_used_by_a_sweep(lowered, tmp_path):
    store = open_store(shutil.copytree(lowered, tmp_path / "a"), create=False)
    run = store.run("run_1")
    key, parents = canonical(run.config), {"digits": run.parents["dataset"]}
    other = SimpleNamespace(kind="sweep", parents=parents, as_parent={"name": "sweep_1", "digest": "a" * 64})
    assert RunGroup(store, other, [key], keys_of).names == {}
    write_manifest(store.run_path("run_1"), replace(run, divergences=()))
    assert RunGroup(store, other, [key], keys_of).names == {key: "run_1"}


def test_a_result_that_is_not_finite_fails_the_run(digits, tmp_path, rcig, monkeypatch):
    def refuse(*_):
        raise NumericsError("The distilled images are not finite numbers, so they were not written.")

    monkeypatch.setattr(distill, "write_distilled", refuse)
    store = shutil.copytree(digits, tmp_path / "a")
    assert rcig(*RUN, "--store", store).code == 6
    run = manifest_of(store)
    assert (run["status"], run["step"], run["divergences"]) == ("failed", STEPS, [])


def test_the_report_has_every_command(lowered, rcig, tmp_path):
    store = shutil.copytree(lowered, tmp_path / "a")
    assert rcig("report", "run_1", "--store", store).code == 0
    page = (store / "runs" / "run_1" / "figures" / "report.html").read_text()
    first = page.index("rcig distill digits --ipc 1 ")
    assert "--image-lr" not in page[first : page.index("\n", first)]
    assert page.index("rcig distill --resume run_1 --image-lr 0.001") > first


def test_a_checkpoint_is_unusable_if_the_next_step_fails_before_its_update():
    assert comes_from(7, 8, ["loss", "gradient", "images"])
    assert not comes_from(7, 9, ["loss", "gradient", "images"])  # lower rates may avoid it
    assert not comes_from(7, 8, ["images"])  # the update, at its rate


def test_a_run_is_stuck_if_it_diverged_twice_from_one_checkpoint_with_different_rates():
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
    own = {"sharp_lr": 0.1}  # of a method of the user's own
    assert lower_rate({**record, "rates": own}, own) == {"sharp_lr": 0.03}
    fixed = {"image_lr": 0.04, "label_lr": 0.0}  # as KIP keeps its labels
    assert lower_rate({**record, "not_finite": ["labels"], "rates": fixed}, fixed) == {"image_lr": 0.01}
    assert lower_rate({**record, "rates": {}}, {}) is None


@pytest.mark.parametrize(
    ("rates", "lower", "remedy"),
    [
        ({"sharp_lr": 1.0}, {"sharp_lr": 0.3}, "run_1 --algorithm rcig --set sharp_lr=0.3 --store"),
        ({}, None, "Start a new run with other settings."),
    ],
)
def test_the_remedy_for_a_method_of_the_users_own(diverged, rcig, monkeypatch, rates, lower, remedy):
    def diverge(*_, **__):
        error = Diverged("run_1", {"step": 3, "not_finite": ["loss"], "checkpoint": 2, "rates": rates})
        error.lower = lower
        raise error

    monkeypatch.setattr(distill, "distill", diverge)
    outcome = rcig("distill", "--resume", "run_1", "--store", diverged)
    assert (outcome.code, remedy in outcome.err) == (6, True), outcome.err


def test_a_run_of_a_sweep_keeps_its_settings(diverged):
    run = open_store(diverged, create=False).run("run_1")
    of_a_sweep = replace(run, parents={**run.parents, "sweep": run.parents["dataset"]})
    lower = {"image_lr": 1e-3}
    assert DistillConfig.from_json(resumed(run, lower).config).method.image_lr == 1e-3
    with pytest.raises(ConfigError, match="part of a sweep, so its settings can't be changed"):
        resumed(of_a_sweep, lower)
