"""The gallery: all finished runs by data set and accuracy, in one self-contained page."""

import re
import shutil

import pytest

import rcig_cli as api
from rcig_cli.store.results import write_result
from tests.example_store import EVALUATION, make_example
from tests.reporting.test_html_report import Page

FINISHED = {"run_1", "run_2", "imported", "run_6", "run_7"}


@pytest.fixture
def store(tmp_path):
    """A store with runs of every status and origin."""
    return make_example(tmp_path / "store")


def evaluate(store, run, mean, random=None):
    measured = {"mean": mean, "std": 0.01, "values": [mean - 0.01, mean + 0.01]}
    record = {**EVALUATION, "accuracy": measured, "random_subset": random}
    write_result(store / "runs" / run, "evaluations", "convnet", record)


def test_the_gallery_has_every_finished_run_the_most_accurate_first(rcig, store):
    evaluate(store, "imported", 0.9)
    outcome = rcig("report", "--all", "--store", store, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["files"] == [str(store / "gallery.html")]
    # The others have an accuracy of 50 %, and one has none.
    assert outcome.json["runs"] == ["imported", "run_1", "run_6", "run_7", "run_2"]
    text = (store / "gallery.html").read_text()
    page = Page(text)
    assert re.findall(r'<article id="(\w+)"', text) == outcome.json["runs"]
    assert {link["href"] for link in page.named("a")} == {"#data:1", *(f"#{run}" for run in FINISHED)}
    assert len(page.named("img")) == len(FINISHED)
    assert all(image["src"].startswith("data:image/png;") for image in page.named("img"))
    assert not [word for word in ("http:", "https:", "url(", "@import", "<script") if word in text]
    for said in ("90.0 ± 1.0 %", "set.npz", "not evaluated", "5 finished runs of 1 data set"):
        assert said in page.text, said
    assert text.count("<dt>imported from</dt><dd>set.npz</dd>") == 1
    assert text.count("<dt>method</dt>") == len(FINISHED) - 1
    assert rcig("verify", "--store", store).out.count("gallery") == 0


def test_damaged_runs_are_left_out_with_a_warning(rcig, store, tmp_path):
    (store / "runs" / "run_1" / "manifest.json").write_text("{")
    shutil.rmtree(store / "runs" / "run_2" / "distilled.zarr")
    out = tmp_path / "new" / "g.html"
    outcome = rcig("report", "--all", "--out", out, "--store", store, "--json")
    assert outcome.json == {"runs": ["run_6", "run_7", "imported"], "files": [str(out)]}
    assert re.search(r"Warning: .*run_1", outcome.err)
    assert "Warning: run_2 is left out: run_2 is damaged" in outcome.err.replace("\n", " ")
    with pytest.warns(api.RcigWarning, match="run_"):
        assert api.report_all(store=store) == store / "gallery.html"


def test_a_gallery_needs_finished_runs_an_html_file_and_no_run(rcig, store, tmp_path):
    for arguments in (["--all", "run_1"], []):
        outcome = rcig("report", *arguments, "--store", store)
        assert outcome.code == 2
        assert "--all" in outcome.err
    outcome = rcig("report", "--all", "--out", tmp_path / "g.pdf", "--store", store)
    assert (outcome.code, "must end in .html" in outcome.err) == (2, True)
    for run in FINISHED:
        shutil.rmtree(store / "runs" / run)
    outcome = rcig("report", "--all", "--store", store)
    assert outcome.code == 3
    assert "no finished run" in outcome.err
    assert not (store / "gallery.html").exists()
