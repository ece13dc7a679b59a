"""The navigation of the documentation site, links of other pages, and the README's table of results."""

import importlib.util
import re
import shutil
import tomllib

import pytest

import rcig_cli
from tests.conftest import ROOT

GENERATED = "notebook.md"  # by `make site`


def test_the_navigation_has_every_page_once():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    pages = sorted(
        {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")} | {GENERATED}
    )
    assert sorted(_pages(nav)) == pages


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "examples/README.md"])
def test_links_to_files_lead_to_files(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text())
    assert links
    assert [each for each in links if "://" not in each and not (path.parent / each).exists()] == []


def _pages(entry):
    if isinstance(entry, str):
        return [entry]
    inner = entry if isinstance(entry, list) else entry.values()
    return [page for each in inner for page in _pages(each)]


@pytest.fixture
def make_results(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("make_results", ROOT / "docs" / "make_results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "README", tmp_path / "README.md")
    return module


def test_the_table_of_results_is_written_from_runs(make_results, digits_run, tmp_path):
    store = tmp_path / "artifacts"
    shutil.copytree(digits_run, store, ignore=shutil.ignore_patterns("evaluations"))
    make_results.README.write_text(f"Before\n\n{make_results.BEGIN}old\n{make_results.END}\nAfter\n")
    with pytest.raises(SystemExit, match=r"Run: rcig evaluate run_1 --store"):
        make_results.main(str(store), "run_1")

    found = rcig_cli.evaluate("run_1", networks=2, steps=3, width=4, store=store)
    make_results.main(str(store), "run_1")
    before, _, after = make_results.README.read_text().partition(make_results.HEAD)
    assert before.endswith(make_results.BEGIN)
    assert after.endswith(f"{make_results.END}\nAfter\n")
    cells = after.splitlines()[0].strip("| ").split(" | ")
    assert cells[0] == "digits, 1 image per class"
    assert cells[1].startswith("6 steps of 64 images, width 4, ")
    assert cells[2] == "2.6 kB"
    assert cells[3] == f"{found.accuracy.percent} (2 networks of width 4)"
    assert cells[4] == found.random_subset.percent
    assert cells[5] == "–"
    assert rcig_cli.load("run_1", store=store).manifest.created[:10] in cells[6]
