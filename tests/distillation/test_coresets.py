"""The rules by which real images are chosen, on points whose answers are known."""

import numpy as np
import pytest

from rcig_cli.distillation.coresets import herding, k_center, k_means, nearest_to_k_means, pick_random

RULES = (pick_random, herding, k_center, nearest_to_k_means)


def points(rows=40, numbers=7, seed=1):
    return np.random.default_rng(seed).normal(size=(rows, numbers)).astype(np.float32)


@pytest.mark.parametrize("pick", RULES)
def test_each_rule_chooses_as_many_different_rows_as_asked_and_the_same_again(pick):
    rows = points()
    for count in (1, 5, 40):
        chosen, again = (pick(rows, count, np.random.default_rng(3)) for _ in range(2))
        assert len(set(chosen.tolist())) == len(chosen) == count
        assert chosen.tolist() == again.tolist()
    equal = np.ones((6, 2), np.float32)
    if pick is not nearest_to_k_means:  # which warns about fewer clusters
        assert sorted(pick(equal, 6, np.random.default_rng(3)).tolist()) == [*range(6)]


def test_random_rows_depend_on_the_generator_and_need_no_features():
    rows = np.zeros((100, 0), np.float32)
    chosen = [pick_random(rows, 10, np.random.default_rng(seed)).tolist() for seed in range(30)]
    assert len({tuple(each) for each in chosen}) == 30
    assert len({index for each in chosen for index in each}) > 80


def test_herding_adds_the_row_that_brings_the_mean_nearest_to_that_of_all():
    rows = points()
    chosen = herding(rows, 12).tolist()
    for known in range(12):
        others = [index for index in range(40) if index not in chosen[:known]]
        distances = [np.linalg.norm(rows[[*chosen[:known], one]].mean(0) - rows.mean(0)) for one in others]
        assert chosen[known] == others[int(np.argmin(distances))]


def test_k_center_starts_in_the_middle_and_goes_on_with_the_furthest():
    points = np.array([[0, 0], [10, 0], [0.5, 0.2], [10, 9], [4, 1.5]], np.float32)  # mean (4.9, 2.1)
    assert k_center(points, 1).tolist() == [4]
    assert k_center(points, 4).tolist() == [4, 3, 1, 0]
    random = np.random.default_rng(1).normal(size=(40, 7)).astype(np.float32)
    chosen = k_center(random, 12)
    apart = np.linalg.norm(random[:, None] - random, axis=2)
    for known in range(1, 12):
        assert chosen[known] == apart[:, chosen[:known]].min(1).argmax()


def test_k_means_finds_the_mean_and_the_centres_of_clusters():
    random = np.random.default_rng(2)
    centres = np.array([[0, 0, 9], [9, 0, 0], [0, 9, 0]], np.float32)
    rows = (np.repeat(centres, 20, 0) + random.normal(size=(60, 3))).astype(np.float32)
    np.testing.assert_allclose(k_means(rows, 1, 0), rows.mean(0, keepdims=True), rtol=1e-6)
    found = k_means(random.permutation(rows), 3, 0)
    expected = rows.reshape(3, 20, 3).mean(1)
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-4)


def test_the_rows_nearest_to_the_centres_are_one_of_each_cluster():
    random = np.random.default_rng(4)
    centres = np.array([[0, 0, 50], [50, 0, 0], [0, 50, 0]], np.float32)
    rows = (np.repeat(centres, 20, 0) + random.normal(size=(60, 3))).astype(np.float32)
    chosen = nearest_to_k_means(rows, 3, random)
    assert sorted((chosen // 20).tolist()) == [0, 1, 2]
    for index in chosen:
        own = rows[index // 20 * 20 : index // 20 * 20 + 20]
        nearest = np.linalg.norm(own - own.mean(0), axis=1).argmin()
        assert nearest == index % 20
