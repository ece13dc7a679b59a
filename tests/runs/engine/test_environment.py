"""Options, flags and variables that would change results are fixed or refused; devices that aren't there."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.runs.engine import environment
from rcig_cli.runs.engine.batches import ReadAhead
from rcig_cli.runs.engine.environment import (
    PINNED,
    YNN_FLAG,
    free_memory,
    pinned,
    prepare_environment,
    processors,
    xla_flags,
)


def test_our_flag_is_added_to_the_users():
    assert xla_flags("--xla_dump_to=a") == f"--xla_dump_to=a {YNN_FLAG}"
    assert xla_flags(YNN_FLAG) == YNN_FLAG
    others = "--xla_force_host_platform_device_count=8 --xla_gpu_autotune_level=0"
    assert xla_flags(others) == f"{others} {YNN_FLAG}"


@pytest.mark.parametrize(
    "flags",
    [
        "--xla_cpu_enable_fast_math=true",
        "--xla_dump_to=a --xla_backend_optimization_level=0",
        f"{YNN_FLAG}dot",
        "file_with_flags",
    ],
)
def test_a_flag_of_xla_that_may_change_results_is_refused(flags):
    with pytest.raises(ConfigError, match=rf"{flags.split()[-1]}, which may change results. Remove it"):
        xla_flags(flags)


@pytest.mark.parametrize("name", ["PJRT_NPROC", "NPROC"])
def test_another_number_of_threads_is_refused(name, monkeypatch):
    monkeypatch.setenv(name, str(processors()))
    prepare_environment()
    monkeypatch.setenv(name, str(processors() + 1))
    with pytest.raises(ConfigError, match=f"{name}=.* Unset it"):
        prepare_environment()


@pytest.mark.parametrize(
    ("line", "group", "limit", "used", "total"),
    [
        ("0::/job/step/task", "job/step", "memory.max", "memory.current", ""),
        ("0::/", ".", "memory.max", "memory.current", ""),
        (
            *("4:cpu:/other\n9:memory:/docker/a", "memory"),
            *("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
        ),
    ],
)
def test_a_memory_limit_of_a_container_or_a_job_counts(
    line, group, limit, used, total, tmp_path, monkeypatch
):
    (tmp_path / "own").write_text(f"{line}\n")
    folder = tmp_path / "cgroup" / group
    (folder / "task").mkdir(parents=True)
    (folder / "task" / limit).write_text("max\n")
    monkeypatch.setattr(environment, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(environment, "_OWN_CGROUPS", tmp_path / "own")
    assert free_memory() > 1000
    (folder / limit).write_text("1000\n")
    (folder / used).write_text("700\n")
    (folder / "memory.stat").write_text(f"anon 500\n{total}active_file 100\n{total}inactive_file 50\n")
    assert free_memory() == 450


def fresh_python(code):
    """Run code in a new process without the flags of this one; return its stdout."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout


def test_pinned_values_are_jaxs_defaults():
    code = (
        "import json\n"
        "from rcig_cli.runs.engine.environment import PINNED, pin\n"
        "print(json.dumps([pin(), PINNED]))"
    )
    changed, values = json.loads(fresh_python(code))
    assert changed == []
    of_other_versions = {
        *("jax_accurate_erf_inv", "jax_custom_jvp3"),
        *("jax_exec_time_optimization_effort", "jax_memory_fitting_effort"),
    }
    assert values.keys() - jax.config.values.keys() <= of_other_versions


def test_options_of_the_user_are_changed_in_a_block_and_restored_after_it():
    """Also for functions that were compiled before, and for a context of the user around the block."""

    @jax.jit
    def draw():
        return jax.random.normal(jax.random.key(3), (3, 5)).sum(0)

    plain = np.asarray(draw())
    jax.config.update("jax_random_seed_offset", 7)
    try:
        with jax.default_prng_impl("rbg"), jax.enable_x64(True):
            own = np.asarray(draw())
            with pinned():
                assert np.array_equal(draw(), plain)
                assert jax.config.values["jax_random_seed_offset"] == 0
            assert np.array_equal(draw(), own)
        assert own.dtype == np.float64
        assert jax.config.values["jax_random_seed_offset"] == 7
    finally:
        jax.config.update("jax_random_seed_offset", 0)


def test_a_thread_that_reads_ahead_draws_like_the_others():
    def read(step, _count):
        return np.asarray(jax.random.bits(jax.random.key(step), (3, 5)))

    expected = [read(step, 1) for step in range(2)]
    jax.config.update("jax_threefry_partitionable", False)
    try:
        assert not np.array_equal(read(0, 1), expected[0])
        reader = ReadAhead(read)
        assert all(np.array_equal(reader.take(step, 1), expected[step]) for step in range(2))
    finally:
        jax.config.update("jax_threefry_partitionable", True)


def test_an_option_of_the_whole_process_is_refused_in_a_block():
    name = "jax_disable_most_optimizations"
    jax.config.update(name, not PINNED[name])
    try:
        with (
            pytest.raises(ConfigError, match=rf'jax.config.update\("{name}", {PINNED[name]}\) first'),
            pinned(),
        ):
            pass
    finally:
        jax.config.update(name, PINNED[name])


@pytest.mark.parametrize(
    "others",
    [
        pytest.param("", id="JAX is not imported", marks=pytest.mark.slow),
        pytest.param("import jax", id="JAX is imported", marks=pytest.mark.slow),
        pytest.param("import jax.numpy; jax.numpy.zeros(3).block_until_ready()", id="JAX has computed"),
    ],
)
def test_a_zero_derivative_is_zero_even_if_another_library_used_jax_before(others):
    """Compiled with XLA's default flags it comes out as up to 1e37, another number at each run.

    ``others`` is what another library in the same process has done before.
    """
    code = (
        f"{others}\n"
        "from rcig_cli.runs.engine.environment import prepare_environment\n"
        "prepare_environment()\n"
        "from rcig_cli.runs.housekeeping.doctor import largest_zero_derivative\n"
        "print(largest_zero_derivative())"
    )
    assert float(fresh_python(code)) == 0.0
