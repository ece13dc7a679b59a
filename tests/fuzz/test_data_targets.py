"""Every target of the data side, fed its seeds and some inputs made of them; ``make fuzz`` feeds far more."""

from collections import Counter
from random import Random

import pytest

from tests.fuzz.data_targets import TARGETS
from tests.fuzz.mutation import mutate_bytes
from tests.fuzz.target import outcome

INPUTS = 100


@pytest.fixture
def scratches(tmp_path, monkeypatch):
    """Give one empty folder after another, in which paths may be relative."""

    def fresh():
        for number in range(10**6):
            scratch = tmp_path / str(number)
            scratch.mkdir()
            monkeypatch.chdir(scratch)
            yield scratch

    return fresh()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_seeds_are_read_and_what_is_made_of_them_is_read_or_refused(target, scratches):
    seeds = list(target.seeds())
    assert seeds
    found = Counter(outcome(target, seed, next(scratches)) for seed in seeds)
    assert found["accepted"]
    random = Random(6)
    for _ in range(INPUTS):
        data = random.choice(seeds)
        for _ in range(random.choice((1, 1, 2))):
            data = (target.mutate if target.mutate and random.random() < 0.85 else mutate_bytes)(data, random)
        found[outcome(target, data, next(scratches))] += 1
    assert found["refused"]
    assert sum(found.values()) == len(seeds) + INPUTS
