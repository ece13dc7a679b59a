"""The classes to distil, as text: names or numbers, and back."""

import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.presets.classes import chosen_classes, class_list
from rcig_cli.presets.config import resolve

NAMES = ("cat", "dog", "Pepper, bell", "frog")


@pytest.mark.parametrize(
    ("given", "numbers", "text"),
    [
        ("frog,cat", (3, 0), "frog,cat"),
        ("3, dog", (3, 1), "frog,dog"),
        ("2,0", (2, 0), "2,cat"),  # a name with a comma can't be in the list
        ("0,1,2,3", (0, 1, 2, 3), None),
        (None, (0, 1, 2, 3), None),
    ],
)
def test_names_and_numbers_in_the_order_given(given, numbers, text):
    assert chosen_classes(given, NAMES) == numbers
    assert class_list(numbers, NAMES) == text
    assert chosen_classes(text, NAMES) == numbers


def test_a_name_that_is_a_number_is_a_name():
    assert chosen_classes("3,1", ("1", "2", "3")) == (2, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("cat,dgo", "classes: there is no class 'dgo'; did you mean dog?"),
        ("cat,4", "classes: there is no class '4'; the classes are 'cat', 'dog', 'Pepper, bell', 'frog'."),
        ("cat,dog,0", "classes: 'cat' is given twice"),
        ("cat", "classes: give at least two classes, separated by commas, not 'cat'"),
        ("", "classes: there is no class ''"),
    ],
)
def test_unknown_repeated_and_too_few_classes_are_refused(given, said):
    with pytest.raises(ConfigError) as error:
        chosen_classes(given, NAMES)
    assert said in str(error.value)


def test_a_configuration_has_all_classes_by_default():
    assert resolve("digits", (8, 8, 1), 10, {"ipc": 1}).classes is None
