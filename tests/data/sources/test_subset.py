import numpy as np
import pytest

from rcig_cli.data.sources.subset import subset
from rcig_cli.errors import ConfigError
from tests.data.examples import ArraySource, whole


@pytest.fixture
def source():
    labels = np.arange(100) % 5
    return ArraySource({"train": labels, "test": labels[:15]})


def test_groups_are_disjoint_and_cover_everything(source):
    groups = [whole(subset(source, 20, chunk), "train").images[:, 0, 0, 0] for chunk in range(5)]
    assert sorted(np.concatenate(groups).tolist()) == list(range(100))


def test_each_group_is_class_stratified_and_in_the_order_of_the_source(source):
    group = whole(subset(source, 20, 3), "train")
    assert np.bincount(group.labels).tolist() == [4] * 5
    positions = group.images[:, 0, 0, 0].tolist()
    assert positions == sorted(positions)
    assert (group.labels == np.array(positions) % 5).all()


def test_the_rest_is_untouched(source):
    group = subset(source, 20, 1)
    assert group.sizes == {"train": 20, "test": 15}
    assert (whole(group, "test").images == whole(source, "test").images).all()
    assert (group.name, group.shape, group.class_names) == (source.name, source.shape, source.class_names)
    assert "group 1 of 20 images out of 100" in group.notes[-1]


def test_a_group_does_not_depend_on_the_batch_size(source):
    group = subset(source, 30, 2)
    assert (whole(group, "train", 4).images == whole(group, "train", 100).images).all()


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
def test_what_cannot_be_chosen_is_refused(source, count, chunk, word):
    with pytest.raises(ConfigError, match=word):
        subset(source, count, chunk)


def test_a_group_without_one_of_the_classes_is_refused():
    rare = ArraySource({"train": np.array([0] * 50 + [1]), "test": np.array([0, 1])})
    with pytest.raises(ConfigError, match="no image of the class '1'"):
        subset(rare, 2, 0)
