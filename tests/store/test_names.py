"""Names: none of them leads out of the store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcig_cli.errors import ConfigError
from rcig_cli.store import names

WRONG = ["", ".", "..", "/etc", "a/b", "../run_1", "a\0", "a\n", "run_1\n", "x" * 10_000, "A", "é", "-a", " "]


@pytest.mark.parametrize("kind", ["data set", "run", "sweep"])
def test_wrong_names_are_refused_in_one_short_sentence(kind):
    for name in WRONG:
        with pytest.raises(ConfigError, match=f"is not a valid name of a {kind}") as caught:
            names.check_name(kind, name)
        assert len(str(caught.value)) < 200


def test_a_name_that_is_chosen_for_a_run_is_refused_as_one_of_a_run():
    for name in WRONG:
        with pytest.raises(ConfigError, match="is not a valid name of a run: use 1 to 64 of a-z"):
            names.check_chosen_name(name)
    for name in ("newest", "run_1", "sweep_x"):
        with pytest.raises(ConfigError, match="is reserved"):
            names.check_chosen_name(name)


def test_plain_names_are_allowed():
    for name in ("digits", "cifar10", "0", "a" * 64, "my-set_2", "run-1"):
        assert names.check_name("data set", name) == names.check_name("run", name) == name


def test_numbered_names():
    for name, kind, number in (
        ("run_1", "run", 1),
        ("run_999999999", "run", 999_999_999),
        ("sweep_42", "sweep", 42),
    ):
        assert names.check_name(kind, name) == name
        assert names.number_of(kind, name) == number
    for name in ("run_0", "run_01", "run_", "run_x", "run_1000000000", "run_1a", "sweep_1"):
        assert names.number_of("run", name) == 0
        assert not names.is_name("run", name) or name == "sweep_1"
    for name in ("sweep_0", "sweep_01", "sweep_", "run_1", "mine"):
        assert not names.is_name("sweep", name)


@given(st.text())
def test_an_allowed_name_is_one_part_of_a_path(name):
    if names.is_name("data set", name) or names.is_name("run", name):
        assert not set(name) & set("/\\.\0\n")


def test_natural_order():
    mixed = ["run_10", "run_2", "b2", "run_1", "b", "10", "2", "b10"]
    assert sorted(mixed, key=names.natural_key) == ["2", "10", "b", "b2", "b10", "run_1", "run_2", "run_10"]


def test_one_tag_needs_no_list():
    assert names.check_tags("baseline") == ("baseline",)
    assert names.check_tags(["b", "a", "b"]) == ("b", "a")
