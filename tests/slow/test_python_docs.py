"""The examples of docs/python.md, run one after the other in a fresh process."""

import os
import re
import subprocess
import sys

from tests.conftest import ROOT


def test_the_examples_of_the_documentation_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), re.DOTALL)
    assert len(blocks) > 5
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert re.search("did you mean '?width", done.stdout)
