"""`rcig mia` on networks that have memorized their training images."""

import numpy as np
import pytest

from rcig_cli.privacy.roc import chance_error
from tests.cli.test_mia import distilled, write_digits


def test_every_attack_succeeds_on_a_network_that_memorized_random_labels(rcig, tmp_path):
    """With random labels, all that a network knows of its members is memorized."""
    count, store = 100, tmp_path / "a"
    labels = np.random.default_rng(0).permutation(np.arange(2 * count) % 10)
    path = write_digits(tmp_path / "lots.npz", count, count, labels=labels)
    distilled(rcig, "lots", path, store)
    strong = ["--networks", 1, "--steps", 150, "--lr", "1e-2", "--width", 8, "--lira", "--shadows", 4]
    targets = rcig("mia", "run_1", *strong, "--store", store, "--json").json["targets"]
    found = {name: auc["mean"] for name, auc in targets["real"]["auc"].items()}
    (lira,) = targets["real"]["lira"]
    found["lira"] = lira["auc"]["mean"]
    print(found)
    assert min(found.values()) > 0.9
    assert lira["tpr"]["0.01"]["mean"] > 0.5
    # Ten of the hundred, if all were found, would add 0.05 to an AUC of 0.5.
    for name in ("random_subset", "distilled"):
        for auc in targets[name]["auc"].values():
            assert auc["mean"] == pytest.approx(0.5, abs=4 * chance_error(50, 50) + 0.05)
    # LiRA is tested on those ten.
    assert targets["random_subset"]["lira"][0]["members"] == 10
    assert targets["random_subset"]["lira"][0]["auc"]["mean"] > 0.9


def test_every_attack_succeeds_on_a_network_trained_on_few_images(rcig, tmp_path):
    """A hundred digits with their true labels: the network generalizes, and memorizes these as well."""
    store, path = tmp_path / "a", write_digits(tmp_path / "few.npz", 100, 100)
    distilled(rcig, "few", path, store)
    flags = ["--networks", 1, "--steps", 400, "--lr", "3e-3", "--width", 8, "--store", store, "--json"]
    real = rcig("mia", "run_1", *flags).json["targets"]["real"]
    found = {name: auc["mean"] for name, auc in real["auc"].items()}
    print(real["accuracy"]["mean"], found)
    assert real["accuracy"]["mean"] > 0.8
    assert min(found.values()) > 0.8
