"""A run that is stopped and resumed gives byte for byte what an uninterrupted run gives.

``tests/slow/faults`` stops real processes at every file operation and at random moments.
"""

import json
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest

from rcig_cli import list_runs
from rcig_cli.errors import Interrupted
from rcig_cli.runs.distill import distill as job
from rcig_cli.runs.distill.distill import distill
from rcig_cli.runs.distill.resume import newest_with
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.engine.processes import Processes
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.runs.prepare.prepared import parent_of
from rcig_cli.store.locks import RunLock
from rcig_cli.store.progress import Progress, read_progress, write_progress
from rcig_cli.store.records import now, write_manifest
from rcig_cli.store.store import open_store
from tests.silent import Silent

STEPS = 20
SETTINGS = {
    **{"dataset": "digits", "ipc": 1, "steps": STEPS, "width": 4, "batch": 64, "pool_size": 3},
    **{"pool_steps": 3, "inner_steps": 2, "hessian_steps": 2, "schedule": "cosine", "start": "k-center"},
    "distill_augment": "translate,cutout",
}


class Crash(BaseException):  # not an `Exception`, which a run might handle
    """Ends a run without giving it the chance to save anything."""


class Warnings(Silent):
    """Keeps warnings."""

    def __init__(self):
        self.warnings = []

    def warn(self, sentence):
        self.warnings.append(sentence)


def run(store, *, resume=None, at=None, report=None, **settings):
    """Distil with a checkpoint every 3 steps; ``at`` is a step and what is called after it."""

    def on_step(step, values):
        if at is not None and step == at[0]:
            at[1]()

    context = RunContext(report or Silent(), checkpoint_every=3, on_step=on_step)
    opened = open_store(store, create=False)
    return distill(opened, {**SETTINGS, **settings}, context, resume=resume)


def crash():
    raise Crash


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    store = tmp_path_factory.mktemp("digits") / "a"
    prepare(open_store(store, create=True), "digits", report=Silent())
    return store


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    store = shutil.copytree(digits, tmp_path_factory.mktemp("uninterrupted") / "a")
    run(store)
    return store


@pytest.fixture(scope="module")
def crashed(digits, tmp_path_factory):
    """A store with a run that crashed in step 11; tests copy it."""
    store = shutil.copytree(digits, tmp_path_factory.mktemp("crashed") / "a")
    with pytest.raises(Crash):
        run(store, at=(11, crash))
    return store


def contents(store):
    """Return the metrics, and every file of ``run_1`` that its manifest records."""
    folder = store / "runs" / "run_1"
    recorded = json.loads((folder / "manifest.json").read_text())["files"]
    assert {name.split("/")[0] for name in recorded} == {"distilled.zarr", "snapshots.npz", "metrics.jsonl"}
    return {name: (folder / name).read_bytes() for name in (*recorded, "metrics.jsonl")}


def test_after_a_crash(crashed, uninterrupted, tmp_path):
    store = shutil.copytree(crashed, tmp_path / "a")
    assert open_store(store, create=False).run("run_1").status == "running"
    assert run(store, resume="newest").name == "run_1"
    assert contents(store) == contents(uninterrupted)
    steps = [json.loads(line)["step"] for line in contents(store)["metrics.jsonl"].splitlines()]
    assert steps == list(range(1, STEPS + 1))


def test_a_run_that_on_step_ends_while_a_checkpoint_is_saved_takes_no_more_steps(digits, tmp_path):
    store = shutil.copytree(digits, tmp_path / "a")
    context = RunContext(Silent(), checkpoint_every=3, on_step=lambda step, _: step != 6)
    ended = distill(open_store(store, create=False), SETTINGS, context)
    assert ended.step == ended.config["steps"] == 6


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before_with_a_warning(
    crashed, uninterrupted, tmp_path
):
    store, report = shutil.copytree(crashed, tmp_path / "a"), Warnings()
    newest = max((store / "runs/run_1/checkpoints").iterdir(), key=lambda path: int(path.name))
    largest = max(newest.iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(bytes(content))
    run(store, resume="run_1", report=report)
    assert any(newest.name in warning for warning in report.warnings)
    assert contents(store) == contents(uninterrupted)


def test_of_several_processes_only_the_first_writes_progress(crashed, tmp_path, monkeypatch):
    opened = open_store(shutil.copytree(crashed, tmp_path / "a"), create=False)
    manifest, path = opened.run("run_1"), opened.run_path("run_1")
    write_progress(path, Progress("distilling", 1, STEPS, {}))

    def report_step(loop):
        loop.context.report.progress("distilling", 2, STEPS)
        return loop.manifest

    monkeypatch.setattr(job, "RunLoop", lambda _, manifest, __, context, *___: SimpleNamespace(**locals()))
    monkeypatch.setattr(job, "_run_to_end", report_step)
    for index, left in ((1, 1), (0, None)):
        context = RunContext(Silent(), processes=Processes(index, 2))
        job.execute(path, manifest, parent_of(opened, manifest), context)
        progress = read_progress(path)
        assert (progress and progress.done) == left


def test_after_a_signal_the_newest_unfinished_run_of_these_settings_is_resumed(
    digits, uninterrupted, tmp_path
):
    store = shutil.copytree(digits, tmp_path / "a")
    with pytest.raises(Interrupted, match="after saving a checkpoint") as stopped:
        run(store, at=(11, lambda: signal.raise_signal(signal.SIGTERM)))
    assert stopped.value.exit_code == 143
    interrupted = open_store(store, create=False).run("run_1")
    assert interrupted.status == "interrupted"
    assert 11 <= interrupted.step < STEPS
    assert run(store, resume="newest", seed=1, steps=2).name == "run_2"
    opened = open_store(store, create=False)
    assert newest_with(opened, {"dataset": "digits", "width": 4}) == interrupted
    assert newest_with(opened, {"width": 8}) is None
    assert run(store, resume="newest").name == "run_1"
    assert contents(store) == contents(uninterrupted)


def test_the_newest_is_the_one_that_was_made_last_whatever_its_name(crashed, tmp_path):
    opened = open_store(shutil.copytree(crashed, tmp_path / "a"), create=False)
    first = opened.run("run_1")
    later = replace(first, name="earlier-in-the-alphabet", created=now())
    opened.run_path(later.name).mkdir()
    write_manifest(opened.run_path(later.name), later)
    assert newest_with(opened, {"width": 4}) == later
    assert [each.name for each in list_runs(store=opened.root)] == ["run_1", later.name]


def test_classes_are_the_same_by_name_and_by_number(crashed, tmp_path):
    opened = open_store(shutil.copytree(crashed, tmp_path / "a"), create=False)
    run = opened.run("run_1")
    names = opened.dataset(run.dataset).class_names
    write_manifest(
        opened.run_path("run_1"), replace(run, config={**run.config, "classes": f"{names[2]},{names[0]}"})
    )
    for given in ("2,0", f"{names[2]}, {names[0]}"):
        assert newest_with(opened, {"classes": given}).name == "run_1"
    for given in ("0,2", "2,1", "2,nine"):
        assert newest_with(opened, {"classes": given}) is None


def test_with_more_steps_rates_that_fell_towards_another_end_are_not_those_of_a_new_run(crashed, tmp_path):
    opened = open_store(shutil.copytree(crashed, tmp_path / "a"), create=False)
    more = {**SETTINGS, "steps": STEPS + 2}
    longer = distill(opened, more, RunContext(Silent()), resume="run_1", tags=["longer"])
    assert (longer.step, longer.tags) == (STEPS + 2, ("longer",))
    assert newest_with(opened, {"width": 4}) is None
    assert replace(longer, config={**longer.config, "schedule": "constant"}).follows_config


def test_resume_without_images_per_class_resumes_the_unfinished_run(crashed, uninterrupted, rcig, tmp_path):
    store = shutil.copytree(crashed, tmp_path / "a")
    outcome = rcig("distill", "--resume", "--seed", 1, "--store", store)
    assert outcome.code == 2
    assert "There is no run with these settings to resume. Pass the number of images" in outcome.err
    assert rcig("distill", "--resume", "--store", store, "--json").json["run"] == "run_1"
    assert contents(store) == contents(uninterrupted)


def test_a_second_writer_is_refused_at_once(crashed, rcig):
    with RunLock(crashed / "runs/run_1"):
        outcome = rcig("distill", "--resume", "run_1", "--store", crashed)
    assert outcome.code == 4
    assert "run_1 is being written by process" in outcome.err
