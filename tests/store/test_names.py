"""Names: no name leads out of the store, whatever it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.errors import ConfigError
from rcig_cli.store import names

HOSTILE = [
    "",
    ".",
    "..",
    "/etc",
    "a/b",
    "../run_1",
    "a\0",
    "a\n",
    "run_1\n",
    "x" * 10_000,
    "A",
    "é",
    "-a",
    "_a",
    " ",
]


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name)[:12])
def test_hostile_names_are_refused_in_one_short_sentence(name):
    checks = {
        "data set": names.check_dataset_name,
        "run": names.check_run_name,
        "sweep": names.check_sweep_name,
    }
    for noun, check in checks.items():
        with pytest.raises(ConfigError, match=f"can't be the name of a {noun}") as caught:
            check(name)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["digits", "cifar10", "0", "a" * 64, "my-set_2", "run-1"])
def test_plain_names_are_allowed(name):
    assert names.check_dataset_name(name) == names.check_run_name(name) == name


@pytest.mark.parametrize("name", ["run_1", "run_999999999"])
def test_numbered_runs_are_allowed(name):
    assert names.check_run_name(name) == name


@pytest.mark.parametrize("name", ["run_0", "run_01", "run_", "run_x", "run_1000000000", "run_1a"])
def test_a_run_number_has_one_way_to_be_written(name):
    assert not names.is_run_name(name)
    assert names.run_number(name) is None


def test_the_number_of_a_run():
    assert names.run_number("run_42") == 42


def test_a_sweep_is_called_by_its_number_alone():
    assert names.check_sweep_name("sweep_42") == "sweep_42"
    assert names.sweep_number("sweep_42") == 42
    for name in ("sweep_0", "sweep_01", "sweep_", "sweep_1a", "run_1", "mine"):
        assert not names.is_sweep_name(name)
        assert names.sweep_number(name) is None


@given(st.text())
def test_an_allowed_name_is_one_part_of_a_path(name):
    if names.is_dataset_name(name) or names.is_run_name(name):
        assert not set(name) & set("/\\.\0\n")


@pytest.mark.parametrize("path", ["a", "a/b.json", "a b", ".hidden", "a..b"])
def test_inner_paths(path):
    assert names.is_inner_path(path)


@pytest.mark.parametrize("path", ["", ".", "..", "/a", "a/..", "../a", "a//b", "a/./b", "a/", "a\0", "a\\b"])
def test_paths_that_are_not_inner(path):
    assert not names.is_inner_path(path)


def test_natural_order():
    mixed = ["run_10", "run_2", "b2", "run_1", "b", "10", "2", "b10"]
    assert sorted(mixed, key=names.natural_key) == ["2", "10", "b", "b2", "b10", "run_1", "run_2", "run_10"]


def test_the_nearest_name():
    assert names.nearest("cifra10", ["mnist", "cifar10", "cifar100"]) == "cifar10"
    assert names.nearest("zzz", ["mnist"]) is None
