"""DD-Ranking's scores by hand, and the accuracy on all real images, which is kept."""

import json
import math

import pytest

import rcig_cli as rcig
from rcig_cli.runs.evaluate.results import Evaluation
from rcig_cli.runs.evaluate.scores import Scores

SETTINGS = {"networks": 1, "steps": 30, "width": 4, "full_epochs": 8}


def test_the_scores_of_known_accuracies():
    scores = Scores(0.9, 0.5, 0.6, 0.3, 0.3, 0.4)
    assert scores.hlr == pytest.approx(0.4)
    assert scores.ior == pytest.approx(0.3)
    # 0.5 * 0.3 - 0.5 * 0.4 = -0.05 and 0.5 * 0.4 + 0.5 * 0.3 = 0.35, mapped by hand:
    assert scores.lrs == pytest.approx((0.951229425 - 0.367879441) / 2.350402387, abs=1e-8)
    assert scores.ars == pytest.approx((1.419067549 - 0.367879441) / 2.350402387, abs=1e-8)
    assert Scores.from_json(json.loads(json.dumps(scores.to_json()))) == scores


def test_the_scores_at_the_ends_of_their_range():
    assert Scores(0, 1, 1, 0, 1, 1).lrs == pytest.approx(1)
    assert Scores(1, 0, 0, 1, -1, -1).lrs == pytest.approx(0)
    assert Scores(1, 0, 0, 1, -1, -1).ars == pytest.approx(0)
    middle = Scores(0.5, 0.5, 0.5, 0.5, 0, 0)
    assert middle.lrs == middle.ars == pytest.approx((1 - math.exp(-1)) / (math.e - math.exp(-1)))


def test_networks_on_all_real_images_are_trained_once_for_each_protocol(tmp_path):
    store = tmp_path / "store"
    rcig.prepare("digits", store=store)
    run = rcig.distill("digits", ipc=1, algorithm="random", width=4, store=store)
    with pytest.warns(UserWarning, match="all real images for 8 epochs, fewer than the usual 20"):
        first = rcig.evaluate(run, scores=True, lr=0.01, **SETTINGS)
    assert first.full_data.mean > first.accuracy.mean
    found = first.scores
    assert found.full_data == first.full_data.mean
    assert (found.set, found.random) == (first.accuracy.mean, first.random_subset.mean)
    assert found.hard_labels == pytest.approx(first.accuracy.mean, abs=0.2)  # which are the set's own
    kept = [*(store / "datasets" / "digits" / "full-data").glob("*.json")]
    assert len(kept) == 1
    document = json.loads(kept[0].read_text())
    assert document["settings"]["schedule"]["steps"] == 40  # 8 epochs of 5 batches
    with pytest.warns(UserWarning, match="8 epochs"):
        again = rcig.evaluate(run, full_data=True, lr=0.01, baseline=False, **SETTINGS)
    assert again.full_data == first.full_data
    assert again.scores is None
    assert [*kept[0].parent.glob("*.json")] == kept
    said = "30 training steps are fewer than the 300 of the protocol dc-bench"
    with pytest.warns(UserWarning, match="8 epochs"), pytest.warns(UserWarning, match=said):
        other = rcig.evaluate(run, full_data=True, baseline=False, protocol="dc-bench", **SETTINGS)
    assert other.full_data != first.full_data
    assert len([*kept[0].parent.glob("*.json")]) == 2
    stored = {"full_data": first.full_data, "scores": found}
    back = Evaluation.from_json("run_1", json.loads(json.dumps(first.to_json())))
    assert {"full_data": back.full_data, "scores": back.scores} == stored
