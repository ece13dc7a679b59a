"""Fixtures of the command line's tests."""

import pytest

from tests.example_store import make_example


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """A store with one or more artifacts of each kind, which tests must not change."""
    return make_example(tmp_path_factory.mktemp("example") / "a")
