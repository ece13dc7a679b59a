"""LiRA with shadow networks, and with the networks of other runs."""

import numpy as np
import pytest

from rcig_cli.runs.membership.lira import Candidates, Examples, TrainedRun, attack_offline, attack_online
from tests.data.examples import fit

COUNT = 40
random = np.random.default_rng(0)
PIXELS = random.integers(256, size=(4 * COUNT, 4, 4, 1)).astype(np.uint8)


def whitening(shift):
    return fit(PIXELS, mean=[0.1 * shift], std=[0.3], zca=False, regularization=0.1)


def examples(which, white):
    return Examples(white.apply(PIXELS[which]), np.zeros(len(which), np.int32))


def run(group, leak=0.0, shift=0):
    """A run of a group of images; its networks return an image's brightness, plus ``leak`` for members."""
    white = whitening(shift)
    members, others = np.arange(COUNT) + group * COUNT, np.arange(COUNT) + 3 * COUNT
    # Half of its images are candidates, the rest is context.
    candidates = Candidates(
        examples(members[: COUNT // 2], white),
        examples(others[: COUNT // 2], white),
        examples(members[COUNT // 2 :], white),
    )
    own = {PIXELS[place].tobytes() for place in members}

    def phi(model, shown):
        pixels = white.pixels(shown.images)
        had = np.array([image.tobytes() in own for image in pixels])
        noise = np.random.default_rng(model).normal(size=len(pixels))
        return pixels.mean(axis=(1, 2, 3)) + leak * had + 0.01 * noise

    return TrainedRun([10 * group, 10 * group + 1], candidates, white, phi)


def test_shadows_are_trained_on_half_of_the_candidates_and_on_the_context():
    """A network here is the set of images it was trained on."""
    candidates = run(0).candidates
    trained = []

    def train(number, shown):
        assert number == len(trained)
        trained.append({image.tobytes() for image in shown.images})
        return trained[-1]

    def phi(network, shown):
        had = [image.tobytes() in network for image in shown.images]
        return np.array(had) + 0.1 * np.random.default_rng(len(trained)).normal(size=len(had))

    attacked = {image.tobytes() for image in candidates.members.and_(candidates.context).images}
    lira = attack_online([attacked], candidates, train, phi, np.random.default_rng(0), shadows=6)
    assert (lira.kind, lira.members, lira.non_members, lira.shadows) == ("online", 20, 20, 6)
    assert lira.successes[0].auc == 1.0
    known = {image.tobytes() for image in candidates.context.images}
    for network in trained:
        assert known <= network
        assert len(network) == len(attacked)
    for image in candidates.examples.images:
        assert sum(image.tobytes() in network for network in trained) == 3


def test_a_leak_is_found_though_each_run_has_its_own_whitening():
    """Brightness varies by more than the leak, which only a comparison of each image across runs finds."""
    found = attack_offline(run(0, leak=1.0), [run(1, shift=3), run(2, shift=-2)])
    assert (found.kind, found.members, found.non_members, found.shadows) == ("offline", 20, 20, 4)
    assert [one.auc for one in found.successes] == [1.0, 1.0]
    assert found.successes[0].tpr == (1.0, 1.0)


def test_without_a_leak_the_auc_is_that_of_chance():
    found = attack_offline(run(0), [run(1), run(2)])
    for one in found.successes:
        assert one.auc == pytest.approx(0.5, abs=4 * np.sqrt(41 / (12 * 400)))


def test_runs_from_the_same_images_are_no_shadows_of_each_other():
    assert attack_offline(run(0, leak=1.0), [run(0, leak=1.0)]) is None
    among_others = attack_offline(run(0, leak=1.0), [run(0, leak=1.0), run(1)])
    assert [one.auc for one in among_others.successes] == [1.0, 1.0]
