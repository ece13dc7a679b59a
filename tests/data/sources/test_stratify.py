import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.data.sources.stratify import held_out, stratified_order

label_lists = st.lists(st.integers(0, 4), min_size=1, max_size=120).map(lambda v: np.array(v, dtype=np.int32))


@given(label_lists, st.integers(0, 3))
def test_the_order_is_a_permutation(labels, seed):
    assert sorted(stratified_order(labels, seed)) == list(range(len(labels)))


@given(label_lists, st.data())
def test_every_stretch_holds_the_classes_in_their_shares(labels, data):
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


def test_seeds_give_different_orders():
    labels = np.zeros(50, dtype=np.int32)
    assert stratified_order(labels, 0).tolist() != stratified_order(labels, 1).tolist()


@given(label_lists, st.data())
def test_one_item_of_each_class_is_never_held_out(labels, data):
    count = data.draw(st.integers(0, len(labels) - len(set(labels))))
    mask = held_out(labels, count, 0)
    assert mask.sum() == count
    assert set(labels[~mask]) == set(labels)
