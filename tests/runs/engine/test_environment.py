"""The XLA flag against a miscomputation, set before or after others have used JAX."""

import os
import subprocess
import sys

import pytest

from rcig_cli.runs.engine.environment import YNN_FLAG, jaxlib_version, xla_flags


def test_our_flag_is_added_to_the_users_where_jaxlib_knows_it():
    assert jaxlib_version() >= (0, 10)
    assert xla_flags("--xla_foo=1", (0, 10)) == f"--xla_foo=1 {YNN_FLAG}"
    assert xla_flags(f"{YNN_FLAG}dot", (0, 12)) == f"{YNN_FLAG}dot"
    assert xla_flags("", (0, 9)) == ""


# What another library in the same process has done before us.
OTHERS = {
    "JAX is not imported": "",
    "JAX is imported": "import jax",
    "JAX has computed": "import jax.numpy; jax.numpy.zeros(3).block_until_ready()",
}


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS.keys())
def test_a_zero_derivative_is_zero_even_if_another_library_used_jax_before(others):
    """Compiled with XLA's default flags it comes out as up to 1e37, another number at each run."""
    code = (
        f"{others}\n"
        "from rcig_cli.runs.engine.environment import prepare_environment\n"
        "prepare_environment()\n"
        "from rcig_cli.runs.housekeeping.doctor import largest_zero_derivative\n"
        "print(largest_zero_derivative())"
    )
    removed = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")
    environment = {name: value for name, value in os.environ.items() if name not in removed}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert float(done.stdout) == 0.0
