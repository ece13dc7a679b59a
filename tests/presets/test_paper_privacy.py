"""The paper's results on membership inference are given for its data, sizes and method only."""

import pytest

from rcig_cli.presets.paper_privacy import STEPS, paper_attacks
from rcig_cli.privacy.attacks import ATTACKS
from rcig_cli.runs.membership.results import TARGETS


@pytest.mark.parametrize("name", ["mnist", "mnist_0", "mnist3", "fashion_mnist", "fashion_mnist-4"])
def test_a_group_of_ten_thousand_has_the_papers_row(name):
    rows = paper_attacks(name, 10, 10_000, 50)
    assert list(rows) == list(TARGETS)
    for row in rows.values():
        assert list(row.auc) == list(ATTACKS)
        assert row.where == ("Table S1" if "fashion" in name else "Table 5")
        assert 0.8 < row.accuracy[0] < 1


def test_the_row_that_says_most():
    row = paper_attacks("mnist_2", 10, 10_000, 50)["distilled"]
    assert row.accuracy == pytest.approx((0.989, 0.0))
    assert [cell[0] for cell in row.auc.values()] == [0.49, 0.50, 0.53, 0.53, 0.52]
    frepo = paper_attacks("fashion_mnist_1", 10, 10_000, 50, "frepo")["distilled"]
    assert [cell[0] for cell in frepo.auc.values()] == [0.52, 0.53, 0.53, 0.53, 0.52]
    assert list(paper_attacks("mnist_2", 10, 10_000, 50, "mtt")) == ["real", "random_subset"]
    assert list(paper_attacks("mnist_2", 10, 10_000, 50, raw=False)) == ["real", "random_subset"]


@pytest.mark.parametrize(
    ("name", "classes", "members", "ipc"),
    [
        ("mnist", 10, 60_000, 50),
        ("mnist", 10, 10_000, 10),
        ("mnist", 3, 10_000, 50),
        ("mnist_2", 3, 10_000, 50),
        ("cifar10", 10, 10_000, 50),
        ("", 10, 10_000, 50),
    ],
)
def test_other_numbers_have_none(name, classes, members, ipc):
    assert paper_attacks(name, classes, members, ipc) == {}


def test_steps_rise_to_where_the_tables_are():
    assert sorted(set(STEPS)) == list(STEPS)
    assert STEPS[-1] == 16_000
