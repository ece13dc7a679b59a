"""What is set before JAX is imported, and the wrong numbers it keeps away."""

import os
import subprocess
import sys

import pytest

from rcig_cli.runs.engine.environment import YNN_FLAG, jaxlib_version, xla_flags


def test_the_users_own_flags_stay():
    assert xla_flags("--xla_foo=1", (0, 10)) == f"--xla_foo=1 {YNN_FLAG}"


def test_a_users_own_setting_of_our_flag_stands():
    assert xla_flags(f"{YNN_FLAG}dot", (0, 12)) == f"{YNN_FLAG}dot"


def test_a_version_that_does_not_know_the_flag_gets_none():
    assert xla_flags("", (0, 9)) == ""


def test_this_version_knows_the_flag():
    assert jaxlib_version() >= (0, 10)


@pytest.mark.parametrize("attempt", range(3))
def test_a_derivative_that_is_zero_is_zero_in_a_fresh_process(attempt):
    """XLA on the CPU once gave up to 1e34 here, another number at each run."""
    code = (
        "from rcig_cli.runs.engine.environment import prepare_environment\n"
        "prepare_environment()\n"
        "from rcig_cli.runs.housekeeping.doctor import largest_zero_derivative\n"
        "print(largest_zero_derivative())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert float(done.stdout) == 0.0
