"""The examples of docs/extending.md: its modules are written to files, its commands run in their order."""

import re
import shlex
import sys
import tomllib
from pathlib import Path

from rcig_cli.extensions import GROUPS, installed
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_examples_of_the_documentation_run(rcig, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "toml"}
    names = []
    for kind, text in BLOCKS:
        if kind == "python":
            name = re.match(r"# (\w+)\.py\n", text)[1]
            (tmp_path / f"{name}.py").write_text(text)
            names.append(name)
        for line in text.splitlines() if kind == "sh" else ():
            program, *arguments = shlex.split(line)
            done = rcig(*arguments)
            assert (program, done.code) == ("rcig", 0), f"{line}\n{done.err}"
        if kind == "toml":
            declare(tmp_path, tomllib.loads(text)["project"]["entry-points"])
            assert {each for kind in GROUPS for each in installed(kind)} == {
                *("perceptron", "noise", "class-means", "stripes")
            }
    done = rcig("distill", "digits", "--ipc", 1, "--steps", 2, "--width", 16, "--algorithm", "class-means")
    assert done.code == 0, done.err
    assert rcig("show", "run_5", "--json").json["config"]["algorithm"] == "my_method:CLASS_MEANS"
    assert rcig("report", "run_3", "--out", "own.html").code == 0
    assert "--set power=3" in Path("own.html").read_text().replace("&#39;", "'")
    for name in names:
        sys.modules.pop(name)


def declare(folder, groups):
    """Write the files of an installed distribution that declares entry points."""
    info = folder / "my_extensions-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-extensions\nVersion: 1.0\n")
    sections = [
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in points.items())])
        for group, points in groups.items()
    ]
    (info / "entry_points.txt").write_text("\n\n".join(sections))
