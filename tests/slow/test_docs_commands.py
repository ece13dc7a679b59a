"""The commands of the documentation: each ``sh`` block of these pages, run in order in an empty folder.

Blocks marked ``bash`` are not run: they install, need a cluster, a GPU or a network, or use the reader's own
data.
"""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

HOWTO = ("resume", "config", "best-run", "classes", "publish")
PAGES = ["tutorial.md", *(f"howto/{name}.md" for name in HOWTO)]


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_documentation_run(page, tmp_path):
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    command = tmp_path / "bin" / "rcig"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rcig_cli "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(blocks)], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
