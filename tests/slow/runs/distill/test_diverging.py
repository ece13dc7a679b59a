"""Runs that diverge more than once, on several devices, or are killed after their rates were lowered."""

import os
import shutil

from tests.conftest import TINY, start_rcig
from tests.runs.distill.test_divergence import LOWER, RUN, copy, digits, diverged, log_of, manifest_of

__all__ = ["copy", "digits", "diverged"]  # fixtures


def finish(*arguments, **options):
    process = start_rcig(*arguments, **options)
    out, err = process.communicate()
    assert process.returncode == 0, out + err


def product_of(store):
    folder = store / "runs" / "run_1" / "distilled.zarr"
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def newest_checkpoint(store):
    names = [path.name for path in (store / "runs" / "run_1" / "checkpoints").iterdir()]
    return max(int(name) for name in names if name.isdigit())


def test_after_the_rates_were_lowered_it_may_be_killed_and_resumed_like_any_other(copy, tmp_path):
    other = shutil.copytree(copy, tmp_path / "b")
    finish(*LOWER, "--checkpoint-every", 3, "--store", copy)
    process = start_rcig(*LOWER, "--checkpoint-every", 3, "--store", other)
    while process.poll() is None and newest_checkpoint(other) <= 12:
        pass
    process.kill()
    process.communicate()
    finish("distill", "--resume", "run_1", "--store", other)
    assert product_of(other) == product_of(copy)
    assert log_of(other) == log_of(copy)


def test_if_lower_rates_fail_too_an_older_checkpoint_is_used(digits, tmp_path, rcig):
    """By step 8 a pool model is so far off that step 10 is not finite, whatever the learning rate."""
    store = shutil.copytree(digits, tmp_path / "a")
    line = [*RUN[:-1], 40, "--pool-lr", 1000, "--seed", 3, "--checkpoint-every", 8, "--store", store]
    assert rcig(*line).code == 6
    assert manifest_of(store)["step"] == 8
    lower = ("distill", "--resume", "run_1", "--pool-lr", 5e-5, "--store", store)
    assert rcig(*lower).code == 6
    assert manifest_of(store)["step"] == 0
    assert rcig(*lower).code == 0
    assert [each["checkpoint"] for each in manifest_of(store)["divergences"]] == [8, 0]


def test_if_nothing_helps_the_error_advises_a_new_run(digits, tmp_path, rcig):
    store = shutil.copytree(digits, tmp_path / "a")
    line = [*RUN, "--label-lr", 1e15, "--image-lr", 0.1, "--checkpoint-every", 1, "--store", store]
    assert rcig(*line).code == 6
    outcome = rcig("distill", "--resume", "run_1", "--image-lr", 0.01, "--store", store)
    assert outcome.code == 6
    assert "A lower learning rate did not help. Start a new run" in outcome.err


def test_on_several_devices(digits, tmp_path):
    store = shutil.copytree(digits, tmp_path / "a")
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    line = ["distill", "digits", "--ipc", 1, *TINY, "--steps", 40, "--pool-size", 4, "--models", 2]
    line += ["--devices", 2, "--temperature-lr", 100, "--store", store]
    process = start_rcig(*line, env={**os.environ, "XLA_FLAGS": flags})
    _, err = process.communicate()
    assert process.returncode == 6, err
    assert "run_1 diverged at step 1 (not finite: temperature); the checkpoint of step 0 is intact" in err
