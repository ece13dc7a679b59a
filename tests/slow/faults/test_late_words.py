"""What libraries say of the other arrays of a checkpoint, once one has failed, is not heard; all else is."""

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, gc, logging, sys
from rcig_cli.store.checkpoints import _orbax
logging.basicConfig()
try:
    with _orbax():
        if sys.argv[1] == "failed":
            raise ValueError("os_error_code='28'")
except OSError as error:
    print(error.errno)
loop = asyncio.new_event_loop()
future = loop.create_future()
future.set_exception(ValueError("late"))
del future
gc.collect()
loop.close()
class Late:
    def __del__(self):
        loop.call_soon_threadsafe(print)
Late()
logging.getLogger("asyncio").error("something else")
"""


@pytest.mark.parametrize("how", ["failed", "saved"])
def test_late_words(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    assert done.stdout == ("28\n" if how == "failed" else "")
    assert "something else" in done.stderr
    assert ("never retrieved" in done.stderr) == (how == "saved")
    assert ("loop is closed" in done.stderr) == (how == "saved")
