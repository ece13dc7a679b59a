"""Every method: a few steps on digits; stopped and resumed, the same bytes; evaluated and exported."""

import shutil

import numpy as np
import pytest

import rcig_cli as rcig
from rcig_cli.distillation.methods import METHODS
from rcig_cli.runs.distill.distill import distill
from rcig_cli.runs.distill.run_loop import RunContext
from rcig_cli.runs.prepare.prepare import prepare
from rcig_cli.store.store import open_store
from tests.silent import Silent

SHARED = {"dataset": "digits", "ipc": 2, "width": 4, "batch": 64, "seed": 3}
# Fewer of what takes time.
OWN = {
    "pool_size": 2,
    "pool_steps": 2,
    "network_steps": 2,
    "renew_every": 2,
    "inner_steps": 2,
    "hessian_steps": 2,
    "feature_steps": 2,
    "models": 2,
    "experts": 2,
    "expert_epochs": 4,
    "student_steps": 2,
}
STEPS = 4


class Crash(BaseException):
    """Ends a run without giving it the chance to save anything."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    store = tmp_path_factory.mktemp("digits") / "a"
    prepare(open_store(store, create=True), "digits", report=Silent())
    return store


def run(store, algorithm, *, resume=None, crash_at=None):
    def on_step(step, _):
        if step == crash_at:
            raise Crash

    method = METHODS[algorithm]
    settings = {**SHARED, "algorithm": algorithm, **{n: OWN[n] for n in method.declared if n in OWN}}
    if method.pick is None:
        settings["steps"] = STEPS
    context = RunContext(Silent(), checkpoint_every=1, on_step=on_step)
    return distill(open_store(store, create=False), settings, context, resume=resume)


def results(store):
    folder = store / "runs" / "run_1"
    found = [*folder.glob("distilled.zarr/**/*"), folder / "snapshots.npz", folder / "metrics.jsonl"]
    return {path.relative_to(folder): path.read_bytes() for path in found if path.is_file()}


@pytest.mark.parametrize("algorithm", METHODS)
def test_a_resumed_run_gives_the_bytes_of_an_uninterrupted_one_and_can_be_used(digits, tmp_path, algorithm):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for store in (whole, stopped):
        shutil.copytree(digits, store)
    manifest = run(whole, algorithm)
    if METHODS[algorithm].pick is None:
        with pytest.raises(Crash):
            run(stopped, algorithm, crash_at=3)
        run(stopped, algorithm, resume="run_1")
        metrics = rcig.load("run_1", store=whole).metrics()
        missing = {metric.name for metric in METHODS[algorithm].metrics} - set(metrics)
        assert missing <= {"inner_rate", "hessian_rate"}  # only Adam has them
        assert len(metrics["loss"]) == STEPS
        rcig.report("run_1", store=whole)
    else:
        run(stopped, algorithm)
    assert results(stopped) == results(whole)
    assert manifest.status == "finished"
    accuracy = rcig.evaluate("run_1", networks=1, steps=20, store=whole)
    assert 0 <= accuracy.accuracy.mean <= 1
    exported = rcig.export("run_1", "npz", tmp_path / "set.npz", store=whole)
    with np.load(exported, allow_pickle=False) as arrays:
        assert len(arrays[arrays.files[0]])
