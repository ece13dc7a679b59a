"""The same seed gives the same bytes under all of JAX's environment variables and the user's own settings."""

import json
import os
import subprocess
import sys

import pytest

from rcig_cli.runs.engine.environment import PINNED
from rcig_cli.store.arrays import read_arrays
from tests.conftest import ROOT, TINY

# Another value than rcig's for each option that it pins.
OTHER = {
    "jax_enable_x64": True,
    "jax_numpy_dtype_promotion": "strict",
    "jax_numpy_rank_promotion": "raise",
    "jax_default_matmul_precision": "BF16_BF16_F32",
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_random_seed_offset": 7,
    "jax_enable_custom_prng": True,
    "jax_legacy_prng_key": "error",
    "jax_high_dynamic_range_gumbel": True,
    "jax_accurate_erf_inv": True,
    "jax_disable_jit": True,
    "jax_use_direct_linearize": False,
    "jax_softmax_custom_jvp": True,
    "jax_scan3": True,
    "jax_remat3": True,
    "jax_custom_vjp3": True,
    "jax_custom_jvp3": True,
    "jax_use_simplified_jaxpr_constants": True,
    "jax_embedded_constants_max_bytes": 0,
    "eager_constant_folding": True,
    "jax_disable_most_optimizations": True,
    "jax_optimization_level": "O1",
    "jax_exec_time_optimization_effort": -1.0,
    "jax_memory_fitting_level": "O0",
    "jax_memory_fitting_effort": 1.0,
    "jax_compiler_enable_remat_pass": False,
    "jax_use_shardy_partitioner": False,
    "jax_default_device": "cpu",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_error_checking_behavior_nan": "raise",
    "jax_error_checking_behavior_divide": "raise",
    "jax_error_checking_behavior_oob": "raise",
}
DISTILL = ["distill", "digits", "--ipc", "1", *TINY, "--steps", "4", "--seed", "3"]
EVALUATE = ["evaluate", "run_1", "--networks", "1", "--steps", "40", "--lr", "0.003", "--augment"]
COMMANDS = f"""
from rcig_cli.cli.app import main
for line in {DISTILL}, {EVALUATE}:
    try:
        main(line)
    except SystemExit as ended:
        assert ended.code == 0
"""
# What a notebook may do: settings for the whole process and for this thread, and functions of JAX compiled.
LIBRARY = """
import json, sys
import jax
import rcig_cli as rcig

draw = jax.jit(lambda: jax.random.normal(jax.random.key(3), (40,)).sum())
for name, value in json.loads(sys.argv[1]).items():
    jax.config.update(name, value)
with jax.enable_x64(True), jax.default_prng_impl("unsafe_rbg"):
    own = draw()
    settings = dict(width=4, batch=64, pool_size=3, pool_steps=3, inner_steps=2, hessian_steps=2)
    rcig.distill("digits", ipc=1, steps=4, seed=3, **settings)
    rcig.evaluate("run_1", networks=1, steps=40, lr=0.003, augment=True)
    assert draw() == own and own.dtype == "float64"
for name, value in json.loads(sys.argv[1]).items():
    now = jax.config.values[name]
    assert getattr(now, "value", now) == value
"""


def figures(folder, code, *arguments, **variables):
    """Run code in a new process and store; return the distilled arrays and the accuracies that it made."""
    environment = {**os.environ, "RCIG_STORE": str(folder), "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "run_1"
    (evaluation,) = (run / "evaluations").iterdir()
    recorded = json.loads(evaluation.read_text())
    arrays = {name: array.tobytes() for name, array in read_arrays(run / "distilled.zarr").items()}
    log = (run / "metrics.jsonl").read_bytes()
    return arrays, log, recorded["accuracy"], recorded["random_subset"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return figures(tmp_path_factory.mktemp("plain"), COMMANDS)


def test_all_variables_at_once_change_nothing_in_the_commands(plain, tmp_path):
    assert OTHER.keys() == PINNED.keys()
    variables = {name.upper(): str(value) for name, value in OTHER.items()}
    assert figures(tmp_path, COMMANDS, **variables) == plain


def test_nor_do_the_users_own_settings_in_the_library(plain, tmp_path):
    own = {
        "jax_threefry_partitionable": False,
        "jax_random_seed_offset": 7,
        "jax_numpy_rank_promotion": "raise",
        "jax_numpy_dtype_promotion": "strict",
        "jax_debug_nans": True,
        "jax_optimization_level": "O1",
        "jax_compiler_enable_remat_pass": False,
    }
    assert figures(tmp_path, LIBRARY, json.dumps(own)) == plain
