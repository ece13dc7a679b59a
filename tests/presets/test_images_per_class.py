"""Images per class: one number, a list, or a mapping by class name."""

import pytest

from rcig_cli.errors import ConfigError
from rcig_cli.presets.config import DistillConfig, declared_settings, resolve
from rcig_cli.presets.images_per_class import counts_per_class
from rcig_cli.settings import check, settings_of, to_toml

NAMES = ("cat", "dog", "Pepper, bell")


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        (7, 7),
        ([2, 5, 3], (2, 5, 3)),
        ([4, 4, 4], 4),
        ({"cat": 1, "dog": 2, "Pepper, bell": 3}, (1, 2, 3)),
        ({"dog": 2, "default": 9}, (9, 2, 9)),
        ({"dog": 9, "default": 9}, 9),
    ],
)
def test_counts_are_in_the_order_of_the_classes_and_one_number_if_they_are_equal(given, counts):
    check(declared_settings(), {"ipc": given})
    assert counts_per_class(given, NAMES) == counts


def test_a_class_may_be_called_default():
    assert counts_per_class({"a": 1, "default": 2}, ("a", "default")) == (1, 2)
    with pytest.raises(ConfigError, match="ipc has no number for 'b'"):
        counts_per_class({"a": 1, "default": 2}, ("a", "b", "default"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 2], "ipc has 2 numbers, but there are 3 classes"),
        ({"cta": 1, "default": 2}, "there is no class 'cta'; did you mean cat?"),
        ({"cat": 1}, "ipc has no number for 'dog', 'Pepper, bell': add one"),
    ],
)
def test_classes_without_a_number_and_numbers_without_a_class_are_refused(given, said):
    with pytest.raises(ConfigError) as error:
        counts_per_class(given, NAMES)
    assert said in str(error.value)


@pytest.mark.parametrize("given", [[], {}, [1, 0], {"cat": 0}, {"cat": "5"}, {1: 5}, [[1], 2], True, 2.0])
def test_what_is_not_a_number_for_each_class_is_refused(given):
    with pytest.raises(ConfigError, match="ipc must be a whole number of 1 or more, or one for each class"):
        check(declared_settings(), {"ipc": given})


def test_a_configuration_with_several_numbers_comes_back_from_json_and_has_the_presets_of_their_mean():
    config = resolve("cifar10", (32, 32, 3), 10, {"ipc": (1,) * 5 + (30,) * 5})
    assert DistillConfig.from_json(config.to_json()) == config
    assert config.to_json()["ipc"] == [1] * 5 + [30] * 5
    assert len({config, resolve("cifar10", (32, 32, 3), 10, {"ipc": 15})}) == 2
    same = resolve("cifar10", (32, 32, 3), 10, {"ipc": 15}).to_json()
    assert {**config.to_json(), "ipc": 15} == same
    assert "ipc = [1, 1, 1," in to_toml(config.to_json(), settings_of(DistillConfig))
