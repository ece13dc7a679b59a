"""The navigation of the documentation site."""

import tomllib

from tests.conftest import ROOT

GENERATED = "notebook.md"  # by `make site`


def test_the_navigation_has_every_page_once():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    pages = sorted(
        {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")} | {GENERATED}
    )
    assert sorted(_pages(nav)) == pages


def _pages(entry):
    if isinstance(entry, str):
        return [entry]
    inner = entry if isinstance(entry, list) else entry.values()
    return [page for each in inner for page in _pages(each)]
