"""Class-stratified orders, held-out splits and disjoint groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.data.sources.subset import held_out, stratified_order, subset
from rcig_cli.errors import ConfigError
from tests.data.examples import array_source, whole

label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=120).map(lambda v: np.array(v, dtype=np.int32))


@given(label_lists, st.data())
def test_every_stretch_holds_each_class_in_its_share(labels, data):
    start = data.draw(st.integers(0, len(labels)))
    stop = data.draw(st.integers(start, len(labels)))
    stretch = labels[stratified_order(labels, 0)[start:stop]]
    due = np.bincount(labels, minlength=5) * (stop - start) / len(labels)
    assert np.abs(np.bincount(stretch, minlength=5) - due).max() <= (2 if start else 1)


@given(st.integers(1, 6), st.integers(1, 20), st.data())
def test_shares_are_exact_where_classes_are_equal(classes, each, data):
    labels = np.tile(np.arange(classes, dtype=np.int32), each)
    groups = data.draw(st.integers(1, each))
    first = labels[stratified_order(labels, 1)[: groups * classes]]
    assert np.bincount(first, minlength=classes).tolist() == [groups] * classes


def test_the_order_never_changes():
    labels = np.array([0, 1, 0, 1, 1, 2, 0, 2, 1, 0], dtype=np.int32)
    assert stratified_order(labels, 0).tolist() == [9, 3, 5, 6, 4, 2, 1, 7, 0, 8]


@given(label_lists, st.data())
def test_one_item_of_each_class_is_never_held_out(labels, data):
    count = data.draw(st.integers(0, len(labels) - len(set(labels))))
    mask = held_out(labels, count, 0)
    assert mask.sum() == count
    assert set(labels[~mask]) == set(labels)


@pytest.fixture
def source():
    labels = np.arange(100) % 5
    return array_source(labels, labels[:15])


def test_groups_are_disjoint_and_cover_everything(source):
    groups = [whole(subset(source, 20, chunk), "train").images[:, 0, 0, 0] for chunk in range(5)]
    assert sorted(np.concatenate(groups).tolist()) == list(range(100))


def test_each_group_is_class_stratified_and_in_the_order_of_the_source(source):
    group = whole(subset(source, 20, 3), "train")
    assert np.bincount(group.labels).tolist() == [4] * 5
    positions = group.images[:, 0, 0, 0].tolist()
    assert positions == sorted(positions)
    assert (group.labels == np.array(positions) % 5).all()


def test_everything_else_is_unchanged(source):
    group = subset(source, 20, 1)
    assert group.sizes == {"train": 20, "test": 15}
    assert (whole(group, "test").images == whole(source, "test").images).all()
    assert (group.name, group.shape, group.class_names) == (source.name, source.shape, source.class_names)
    assert "group 1 of 20 images out of 100" in group.notes[-1].text


@pytest.mark.parametrize(
    ("count", "chunk", "word"),
    [
        (4, 0, "between 5"),
        (101, 0, "100 .all"),
        (0, 0, "between"),
        (20, 5, "between 0 and 4"),
        (20, -1, "chunk -1"),
    ],
)
def test_groups_that_dont_exist_are_refused(source, count, chunk, word):
    with pytest.raises(ConfigError, match=word):
        subset(source, count, chunk)


def test_a_group_without_one_of_the_classes_is_refused():
    rare = array_source(np.array([0] * 50 + [1]), np.array([0, 1]))
    with pytest.raises(ConfigError, match="no image of the class '1'"):
        subset(rare, 2, 0)
