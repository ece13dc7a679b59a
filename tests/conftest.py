"""What every test shares: XLA's flags before JAX is imported, float64, and a compilation cache."""

import os

import pytest

from rcig_cli.jobs.device import prepare_environment

prepare_environment()
os.environ.setdefault("NO_COLOR", "1")


@pytest.fixture
def float64():
    """Run a test in float64."""
    import jax

    with jax.enable_x64(True):
        yield
