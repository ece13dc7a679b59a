"""Snapshots: intervals grow, and a resumed run has the same ones as an uninterrupted run."""

import numpy as np
import pytest

from rcig_cli.errors import Corrupt, NotFound
from rcig_cli.runs.distill.snapshots import SNAPSHOTS, Snapshots, due_steps, kept_indices, read_course
from rcig_cli.store.digests import digests

SHAPE = (4, 4, 1)


def taking(path, steps=20, **changes):
    settings = {"steps": steps, "counts": [2, 2, 2], "shape": SHAPE, **changes}
    return Snapshots(path, **settings)


def images_at(step):
    return np.random.default_rng(step).normal(size=(6, *SHAPE)).astype(np.float32)


def go(snapshots, first, last, save_at=()):
    for step in range(first + 1, last + 1):
        if snapshots.due(step):
            snapshots.add(step, images_at(step))
        if step in save_at:
            snapshots.save()


@pytest.mark.parametrize("steps", [1, 2, 3, 40, 300, 15_000])
def test_the_last_step_is_kept_and_gaps_grow(steps):
    due = due_steps(steps)
    assert due[0] == 1
    assert due[-1] == steps
    assert len(due) <= 40
    late = np.diff([step for step in due if step > 50])
    assert (late[1:] >= late[:-1] - 1).all()  # but for rounding


def test_until_leads_from_one_to_the_next(tmp_path):
    snapshots, step, visited = taking(tmp_path, 300), 0, []
    while step < 300:
        step += snapshots.until(step)
        visited.append(step)
        assert snapshots.due(step)
    assert tuple(visited) == due_steps(300)


def test_all_images_of_a_small_set_are_kept_and_some_of_a_large_one():
    assert kept_indices([1] * 10, (8, 8, 1)).tolist() == list(range(10))
    assert kept_indices([10] * 10, (32, 32, 3)).tolist() == list(range(100))
    of_fifty = kept_indices([50] * 10, (8, 8, 1))
    assert of_fifty.tolist() == [50 * label + place for label in range(10) for place in range(10)]
    spread = kept_indices([10] * 200, (64, 64, 3))
    assert (spread % 10 == 0).all()
    assert len(set(spread.tolist())) == len(spread) == 2**19 // (64 * 64 * 3)
    assert kept_indices([1] * 5, (2000, 2000, 3)).tolist() == [0]
    assert kept_indices([2, 12, 1], (8, 8, 1)).tolist() == [0, 1, *range(2, 12), 14]


def test_snapshots_are_read_back(tmp_path):
    snapshots = taking(tmp_path)
    snapshots.add(0, images_at(0))
    go(snapshots, 0, 20, {20})
    course = read_course(tmp_path)
    assert course.steps.tolist() == [0, *due_steps(20)]
    assert course.indices.tolist() == list(range(6))
    for step, images in zip(course.steps.tolist(), course.images, strict=True):
        np.testing.assert_array_equal(images, images_at(step).astype(np.float16))


def test_numbers_beyond_half_precision_stay_finite(tmp_path):
    snapshots = taking(tmp_path)
    snapshots.add(1, np.full((6, *SHAPE), -1e30, np.float32))
    snapshots.save()
    assert np.isfinite(read_course(tmp_path).images).all()


@pytest.mark.parametrize(("written", "restored"), [(7, 7), (9, 7), (20, 0), (20, 20)])
def test_a_resumed_run_has_the_snapshots_of_an_uninterrupted_one(tmp_path, written, restored):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for path in (whole, broken):
        path.mkdir()
    uninterrupted = taking(whole)
    uninterrupted.add(0, images_at(0))
    go(uninterrupted, 0, 20, {20})
    first = taking(broken)
    first.add(0, images_at(0))
    go(first, 0, written, {written})  # then it is killed, and its checkpoint is of another step
    second = taking(broken)
    second.restore(restored)
    go(second, restored, 20, {20})
    assert digests(whole, SNAPSHOTS) == digests(broken, SNAPSHOTS)


def test_nothing_is_written_twice(tmp_path):
    snapshots = taking(tmp_path)
    snapshots.add(0, images_at(0))
    snapshots.save()
    before = (tmp_path / SNAPSHOTS).stat().st_ino
    snapshots.save()
    again = taking(tmp_path)
    again.restore(0)
    again.save()
    assert (tmp_path / SNAPSHOTS).stat().st_ino == before


def test_a_run_without_any_says_so(tmp_path):
    taking(tmp_path).restore(5)
    with pytest.raises(NotFound, match="has no snapshots"):
        read_course(tmp_path)


def test_damage_and_those_of_other_images_are_refused(tmp_path):
    snapshots = taking(tmp_path)
    snapshots.add(0, images_at(0))
    snapshots.save()
    with pytest.raises(Corrupt, match="don't match its images"):
        taking(tmp_path, shape=(5, 4, 1)).restore(0)
    content = bytearray((tmp_path / SNAPSHOTS).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / SNAPSHOTS).write_bytes(content)
    with pytest.raises(Corrupt, match="damaged"):
        taking(tmp_path).restore(0)
