"""Commands that faults are injected into."""

import pytest

from tests.slow.faults.injection import Commands, compile_library


@pytest.fixture(scope="session")
def commands(tmp_path_factory):
    """Commands that faults can be injected into."""
    folder = tmp_path_factory.mktemp("faults")
    library, reason = compile_library(folder)
    if library is None:
        pytest.skip(reason)
    return Commands(library, folder)
