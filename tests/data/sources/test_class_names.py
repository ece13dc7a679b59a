import pytest

from rcig_cli.data.sources.class_names import (
    IMAGENETTE,
    IMAGEWOOF,
    NUMBERED,
    check_names,
    is_synset,
    published_names,
    readable,
)
from rcig_cli.data.sources.known import KNOWN
from rcig_cli.errors import ConfigError


def test_tables_are_whole():
    assert all(len(set(names)) == len(names) == KNOWN[name].classes for name, names in NUMBERED.items())
    for table in (IMAGENETTE, IMAGEWOOF):
        assert len(set(table.values())) == len(table) == 10
        assert all(map(is_synset, table))


def test_numbers_become_names_where_there_are_as_many():
    assert published_names("fashion_mnist", tuple("0123456789"))[9] == "Ankle boot"
    assert published_names("fashion_mnist", tuple("012")) == ("0", "1", "2")
    assert published_names("mine", tuple("0123456789")) == tuple("0123456789")


def test_codes_become_words_and_other_names_stay():
    assert readable(["n01440764", "cat", "n02115641"]) == ("tench", "cat", "dingo")
    assert readable(["n01440764", "n00000000"]) == ("n01440764", "n00000000")
    assert readable(["001.Black_footed_Albatross", "1.x"]) == ("Black footed Albatross", "1.x")


def test_names_are_as_long_as_it_takes_to_tell_them_apart():
    words = {"n00000001": "crane, bird", "n00000002": "crane, machine", "n00000003": "eel, fish"}
    assert readable(list(words), words) == ("crane, bird", "crane, machine", "eel")
    words["n00000002"] = "crane, bird"
    assert readable(list(words), words) == ("n00000001", "n00000002", "eel")


@pytest.mark.parametrize("names", [["a"], ["a", "a"], ["a", ""], ["a", "b\n"]])
def test_names_that_cannot_be(names):
    with pytest.raises(ConfigError, match=r"^here "):
        check_names("here", names, 2)
