"""The HTML report: complete, self-contained, and no text of a user becomes markup."""

import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

from rcig_cli.runs.distill.distilled import open_distilled
from rcig_cli.runs.evaluate.protocol import evaluation_protocol
from rcig_cli.settings import values_of
from rcig_cli.store.documents import read_document, write_document
from rcig_cli.store.results import write_result
from rcig_cli.store.store import open_store
from tests.example_store import EVALUATION

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Tags and text of a page; every element that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def report(rcig, tmp_path):
    """Write the report of ``run_1`` of a store, and return it as a `Page` that fetches nothing."""

    def write(store):
        path = tmp_path / "r.html"
        outcome = rcig("report", "run_1", "--out", path, "--store", store)
        assert outcome.code == 0, outcome.err
        text = path.read_text()
        page = Page(text)
        for query in ("color-scheme: dark", "max-width: 44rem", "@media print", "prefers-reduced-motion"):
            assert query in text
        assert not [word for word in ("http:", "https:", "url(", "@import") if word in text]
        for tag, attributes in page.tags:
            assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
            assert not [name for name in attributes if name.startswith("on") or name == "srcset"]
            assert attributes.get("src", "data:").startswith("data:")
            assert attributes.get("href", "#").startswith("#")
        ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
        assert {attributes["href"][1:] for attributes in page.named("a")} <= ids
        assert str(tmp_path) not in text
        return page

    return write


@pytest.fixture
def store(digits_run, tmp_path):
    """A copy of the store with the tiny run."""
    shutil.copytree(digits_run, tmp_path / "a")
    return tmp_path / "a"


def test_a_report_has_figures_accuracies_attacks_commands_and_settings(report, store):
    config = open_distilled(open_store(store, create=False), "run_1").config
    protocol = evaluation_protocol(config, 10, augment=True, networks=1, steps=5)
    evaluation = {**EVALUATION, "augment": True, "protocol": values_of(protocol)}
    write_result(store / "runs" / "run_1", "evaluations", "convnet", evaluation)
    spread = {"mean": 0.75, "std": 0.01, "values": [0.74, 0.76]}
    attack = {
        "protocol": {"networks": 2, "steps": [100, 500], "judged_by": 180},
        "targets": {"real": {"accuracy": spread, "auc": {"mlp": spread, "knn": {"mean": 0.5}}, "lira": []}},
    }
    attacks = store / "runs" / "run_1" / "attacks"
    attacks.mkdir(exist_ok=True)  # another test may have attacked the run
    write_document(attacks / "20260101T000000.000000Z-mia.json", attack)
    page = report(store)
    assert [image["src"][:15] for image in page.named("img")] == [
        "data:image/png;", "data:image/gif;", "data:image/png;", "data:image/png;"
    ]  # fmt: skip
    assert all(image["alt"] and int(image["width"]) > 400 for image in page.named("img"))
    assert (
        "the AUC of each attack, without LiRA, on 2 networks for each target after 500 training steps: "
        "mean ± standard deviation over networks. Chance AUC (180 members, 180 non-members): 0.500 ± 0.030."
    ) in page.text
    for said in ("0.750 ± 0.010", "0.500", "75.0 ± 1.0 %", "augmented", "jaxlib", "k-NN"):
        assert said in page.text, said
    assert "rcig evaluate run_1 --augment --networks 1 --steps 5\n" in page.text


def test_a_run_without_metrics_and_snapshots_has_a_report_without_their_figures(rcig, report, store):
    run = store / "runs" / "run_1"
    manifest = read_document(run / "manifest.json")
    manifest["files"] = {name: value for name, value in manifest["files"].items() if "snapshots" not in name}
    write_document(run / "manifest.json", manifest)
    (run / "snapshots.npz").unlink()
    (run / "metrics.jsonl").unlink()
    for flag, said in (("--animate", "no snapshots"), ("--curves", "no metrics")):
        outcome = rcig("visualize", "run_1", flag, "--store", store)
        assert outcome.code == 3
        assert said in outcome.err
    assert len(report(store).named("img")) == 2


def test_a_run_whose_metrics_do_not_change_has_a_report_without_curves(report, store):
    (store / "runs/run_1/metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 2.0}\n')
    assert len(report(store).named("img")) == 3


def test_names_with_markup_stay_text(rcig, report, tmp_path):
    store, path = tmp_path / "a", tmp_path / "<b> $x.npz"
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    names = ["<script>alert(1)</script>", "{{ title }}", '"><img src=x onerror=y>']
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels, class_names=names)
    assert rcig("prepare", "odd", "--from", path, "--store", store).code == 0
    settings = ("--algorithm", "dm", "--no-siamese", "--width", 4, "--batch", 8, "--steps", 1)
    assert rcig("distill", "odd", "--ipc", 1, *settings, "--store", store).code == 0
    page = report(store)
    assert all(name in page.text for name in names)
    assert "rcig prepare odd --from '<b> $x.npz'\n" in page.text


def test_images_that_were_picked_are_not_called_synthetic(rcig, report, tmp_path):
    store, path = tmp_path / "a", tmp_path / "few.npz"
    images, labels = np.arange(6 * 64, dtype=np.uint8).reshape(6, 8, 8), np.arange(6) % 2
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    assert rcig("prepare", "few", "--from", path, "--store", store).code == 0
    assert rcig("distill", "few", "--ipc", 4, "--algorithm", "random", "--store", store).code == 0
    text = " ".join(report(store).text.split())
    assert "8 real images represent the 6 training images of few." in text
    assert "--ipc asks for ('0' has 3 of 4, '1' has 3 of 4). These images are repeated. The random" in text


def test_a_report_is_an_html_file(rcig, store, tmp_path):
    for out in (tmp_path, tmp_path / "r.pdf"):
        outcome = rcig("report", "run_1", "--out", out, "--store", store)
        assert outcome.code == 2
        assert "must end in .html" in outcome.err
