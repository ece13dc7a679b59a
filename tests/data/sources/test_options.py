import pytest

from rcig_cli.data.sources.opening import name_of
from rcig_cli.data.sources.options import ReadOptions, parse_range
from rcig_cli.errors import ConfigError


def test_a_range_is_two_numbers():
    assert parse_range("-1,1") == (-1, 1)
    assert parse_range("0, 4095") == (0, 4095)


@pytest.mark.parametrize("text", ["", "1", "1,0", "1,1", "0,nan", "0,inf", "0,1,2", "a,b"])
def test_other_ranges_are_refused(text):
    with pytest.raises(ConfigError, match="LOW,HIGH"):
        parse_range(text)


def test_options_that_a_reader_does_not_use_are_refused():
    options = ReadOptions(resolution=8, layout="nchw", skip_damaged=True)
    options.check_used({"layout", "skip_damaged"}, "this file")
    with pytest.raises(ConfigError, match="--layout and --skip-damaged can't be used with this file"):
        options.check_used((), "this file")


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        ("hf:zh-plus/tiny-imagenet", "tiny_imagenet"),
        ("hf:owner/Fashion-MNIST@main", "fashion_mnist"),
        ("hf:uoft-cs/cifar100", "cifar100"),
        ("hf:ylecun/mnist", "mnist"),
        ("hf:Owner/Some.Set@main", "some-set"),
        ("hf:mnist", "mnist"),
        ("tfds:imagenet_resized/64x64", "imagenet64"),
        ("tfds:imagenet_resized/16x16:0.1.0", "imagenet_resized"),
        ("tfds:mnist:3.0.1", "mnist"),
        ("tfds:kmnist:3.0.1", "kmnist"),
    ],
)
def test_names_of_data_sets_that_are_elsewhere(origin, name):
    assert name_of(origin) == name
